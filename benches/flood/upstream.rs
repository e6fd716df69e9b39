//! The app behind the gateway: it reads a request and says 200.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::Fault;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";

/// Starts it in a thread of its own, which lives as long as the program does.
pub fn start() -> Result<SocketAddr, Fault> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    thread::Builder::new().name("upstream".to_owned()).spawn(move || {
        runtime.block_on(async {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream));
            }
        });
    })?;
    Ok(address)
}

/// Says 200 to every request, until there are no more.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Option<()> {
    let mut room = vec![0; 64 * 1024];
    loop {
        let mut filled = 0;
        let whole = loop {
            let read = stream.read(&mut room[filled..]).await.ok().filter(|length| *length > 0)?;
            filled += read;
            if let Some(whole) = whole(&room[..filled]) {
                break whole;
            }
        };
        while filled < whole {
            filled += stream.read(&mut room[filled..]).await.ok().filter(|length| *length > 0)?;
        }
        stream.write_all(ANSWER).await.ok()?;
        stream.flush().await.ok()?;
    }
}

/// How long a request is in all, once its head is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(head) = request.parse(bytes).ok()? else { return None };
    let length = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"))?;
    Some(head + std::str::from_utf8(length.value).ok()?.parse::<usize>().ok()?)
}
