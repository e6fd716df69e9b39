//! The header of the PROXY protocol, versions 1 and 2: bytes → who the client is.
//!
//! A proxy that does not end TLS cannot say in HTTP who connected to it, so it says it in front of everything else
//! (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>). Whoever may say so, and when it has to be said, is not decided here: see
//! [`serve`](super::serve). The two versions are told apart by how they begin. Nothing but the client's address is taken; what follows it in version 2 (TLVs)
//! has to be well-formed and is passed over, a checksum among it too, as TCP has its own.
//!
//! **Invariant:** while a header is not whole, every byte of it that was shown belongs to it: a reader that takes those takes none of what is behind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::guard::Fault;

/// Whom a header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The client behind the proxy.
    Client(SocketAddr),
    /// Nobody: the proxy speaks for itself (`LOCAL`, such as a health check), or does not know (`UNKNOWN`, or no address of the internet).
    Nobody,
}

/// Bytes of the longest line of version 1, its line end included (§2.1).
pub const LINE_BYTES_MAX: usize = 107;

/// Bytes of the longest header of version 2: the addresses of Unix sockets take 232, and what clouds and TLS add a few hundred more.
pub const HEADER_BYTES_MAX: usize = 4096;

const LINE_START: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and transport, length of the rest (§2.2).
const FIXED_BYTES: usize = 16;

/// Bytes of both addresses and both ports.
const IPV4_BYTES: usize = 12;
const IPV6_BYTES: usize = 36;
const UNIX_BYTES: usize = 216;

/// Reads the header that `bytes` begin with: what it says, and how long it is. `None` while it is not whole.
///
/// # Errors
/// What is wrong with it; no byte that follows can make it right.
pub fn read(bytes: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
    if begins_alike(bytes, SIGNATURE) {
        return read_binary(bytes);
    }
    if begins_alike(bytes, LINE_START) {
        return read_line(bytes);
    }
    Err(Fault::framing("a connection from a trusted proxy begins with a PROXY header"))
}

/// Whether the one is a beginning of the other.
fn begins_alike(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

/// Version 1: a line of text.
fn read_line(bytes: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
    let line = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        return if line.len() < LINE_BYTES_MAX {
            Ok(None)
        } else {
            Err(Fault::framing("a PROXY line has at most 107 bytes"))
        };
    };
    let text = line[LINE_START.len()..end].strip_suffix(b"\r").and_then(|text| std::str::from_utf8(text).ok());
    let is_plain = |text: &&str| text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let header = text.filter(is_plain).and_then(read_fields).ok_or(Fault::framing("a PROXY line is malformed"))?;
    Ok(Some((header, end + 1)))
}

/// What stands behind `PROXY `: family, two addresses, two ports, each a space from the next.
fn read_fields(text: &str) -> Option<Header> {
    let fields: Vec<_> = text.split(' ').collect();
    match fields[..] {
        // What may come behind it has no meaning (§2.1).
        ["UNKNOWN", ..] => Some(Header::Nobody),
        ["TCP4", source, destination, port, to] => {
            let (source, _) = (source.parse::<Ipv4Addr>().ok()?, destination.parse::<Ipv4Addr>().ok()?);
            client(source.into(), port, to)
        }
        ["TCP6", source, destination, port, to] => {
            let (source, _) = (source.parse::<Ipv6Addr>().ok()?, destination.parse::<Ipv6Addr>().ok()?);
            client(source.into(), port, to)
        }
        _ => None,
    }
}

fn client(source: IpAddr, port: &str, to: &str) -> Option<Header> {
    parse_port(to)?;
    Some(Header::Client(SocketAddr::new(source, parse_port(port)?)))
}

/// A port as it has to be written: digits, the first of which is no zero unless it is alone.
fn parse_port(text: &str) -> Option<u16> {
    let is_canonical = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    text.parse().ok().filter(|_| is_canonical)
}

/// Version 2: fixed fields, addresses, and what else there is to tell.
fn read_binary(bytes: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else { return Ok(None) };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Fault::framing("a PROXY header has a version and a command that are known")),
    };
    if FIXED_BYTES + length > HEADER_BYTES_MAX {
        return Err(Fault::framing("a PROXY header has at most 4096 bytes"));
    }
    // Of a connection of the proxy's own nothing more counts, whatever is written there (§2.2).
    let addresses = match family {
        _ if is_local => 0,
        0x00 => 0,
        0x11 => IPV4_BYTES,
        0x21 => IPV6_BYTES,
        0x31 => UNIX_BYTES,
        _ => return Err(Fault::framing("a PROXY header has a family and a transport that come over TCP")),
    };
    if length < addresses {
        return Err(Fault::framing("a PROXY header holds the addresses that it announces"));
    }
    let Some(rest) = rest.get(..length) else { return Ok(None) };
    let (addresses, more) = rest.split_at(addresses);
    if !is_local && !is_list(more) {
        return Err(Fault::framing("a PROXY header ends where its last field does"));
    }
    Ok(Some((named_by(addresses), FIXED_BYTES + length)))
}

/// The client of an address block: source, destination, source port, destination port. That of a Unix socket has none.
fn named_by(addresses: &[u8]) -> Header {
    if let Ok([a, b, c, d, _, _, _, _, high, low, _, _]) = <[u8; IPV4_BYTES]>::try_from(addresses) {
        return Header::Client((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into());
    }
    match (addresses.first_chunk::<16>(), addresses) {
        (Some(source), [.., high, low, _, _]) if addresses.len() == IPV6_BYTES => {
            Header::Client((Ipv6Addr::from(*source), u16::from_be_bytes([*high, *low])).into())
        }
        _ => Header::Nobody,
    }
}

/// Whether these bytes are fields one after the other: a type, a length of two bytes, a value.
fn is_list(mut fields: &[u8]) -> bool {
    while let Some(([_, high, low], rest)) = fields.split_first_chunk::<3>() {
        let Some(rest) = rest.get(usize::from(u16::from_be_bytes([*high, *low]))..) else { return false };
        fields = rest;
    }
    fields.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of version 2 with this command, family and rest.
    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    fn ipv4() -> Vec<u8> {
        vec![192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb]
    }

    fn ipv6() -> Vec<u8> {
        let [source, destination] = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse::<Ipv6Addr>().unwrap());
        [&source.octets()[..], &destination.octets(), &[0xdc, 0x04, 0x01, 0xbb]].concat()
    }

    fn client(address: &str) -> Header {
        Header::Client(address.parse().unwrap())
    }

    fn good() -> Vec<(&'static str, Vec<u8>, Header)> {
        let (v4, v6) = (client("192.0.2.1:56324"), client("[2001:db8::1]:56324"));
        let text = |line: &str| format!("{line}\r\n").into_bytes();
        let fields = [0x04, 0, 0, 0xea, 0, 2, 1, 2];
        vec![
            ("v1, IPv4", text("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443"), v4),
            ("v1, IPv6", text("PROXY TCP6 2001:db8::1 2001:DB8::2 56324 443"), v6),
            ("v1, ports at their ends", text("PROXY TCP4 192.0.2.1 0.0.0.0 0 65535"), client("192.0.2.1:0")),
            ("v1, unknown", text("PROXY UNKNOWN"), Header::Nobody),
            ("v1, unknown with more", text("PROXY UNKNOWN ffff:: x 0 999999"), Header::Nobody),
            ("v2, IPv4", binary(0x21, 0x11, &ipv4()), v4),
            ("v2, IPv6", binary(0x21, 0x21, &ipv6()), v6),
            ("v2, IPv4 with fields", binary(0x21, 0x11, &[&ipv4()[..], &fields].concat()), v4),
            ("v2, IPv6 with fields", binary(0x21, 0x21, &[&ipv6()[..], &fields].concat()), v6),
            ("v2, a Unix socket", binary(0x21, 0x31, &[7; UNIX_BYTES]), Header::Nobody),
            ("v2, no family", binary(0x21, 0x00, &fields), Header::Nobody),
            ("v2, local", binary(0x20, 0x00, &[]), Header::Nobody),
            ("v2, local with an address", binary(0x20, 0x11, &ipv4()), Header::Nobody),
            ("v2, local with junk", binary(0x20, 0xff, &[1, 2, 3]), Header::Nobody),
        ]
    }

    #[test]
    fn a_header_says_who_the_client_is_and_ends_where_it_ends() {
        for (name, bytes, header) in good() {
            assert_eq!(read(&bytes), Ok(Some((header, bytes.len()))), "{name}");
            let with_more = [&bytes[..], &[0x16, 3, 1, b'\r', b'\n']].concat();
            assert_eq!(read(&with_more), Ok(Some((header, bytes.len()))), "{name}: what is behind it stays there");
        }
    }

    #[test]
    fn every_beginning_of_a_header_is_not_whole_and_is_no_fault() {
        for (name, bytes, _) in good() {
            for length in 0..bytes.len() {
                assert_eq!(read(&bytes[..length]), Ok(None), "{name}: {length} bytes");
            }
        }
    }

    #[test]
    fn every_flipped_bit_of_how_a_header_begins_is_a_fault() {
        for (name, bytes, _) in good() {
            let start = if bytes.starts_with(SIGNATURE) { SIGNATURE.len() } else { LINE_START.len() };
            for bit in 0..start * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(read(&flipped).is_err(), "{name}: bit {bit}");
                assert!(read(&flipped[..=bit / 8]).is_err(), "{name}: bit {bit}, at once");
            }
        }
    }

    #[test]
    fn a_line_is_written_exactly_so() {
        let rows = [
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 ",
            "PROXY TCP4 192.0.2.1 198.51.100.1  56324 443",
            "PROXY  TCP4 192.0.2.1 198.51.100.1 56324 443",
            "PROXY TCP4 192.0.2.1 198.51.100.1 056324 443",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +5632 443",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 65536",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 00",
            "PROXY TCP4 192.0.2.01 198.51.100.1 56324 443",
            "PROXY TCP4 192.0.2.256 198.51.100.1 56324 443",
            "PROXY TCP4 2001:db8::1 2001:db8::2 56324 443",
            "PROXY TCP4 192.0.2.1 2001:db8::2 56324 443",
            "PROXY TCP6 192.0.2.1 198.51.100.1 56324 443",
            "PROXY TCP6 fe80::1%eth0 2001:db8::2 56324 443",
            "PROXY TCP5 192.0.2.1 198.51.100.1 56324 443",
            "PROXY tcp4 192.0.2.1 198.51.100.1 56324 443",
            "PROXY UDP4 192.0.2.1 198.51.100.1 56324 443",
            "PROXY UNKNOWNS",
            "PROXY UNKNOWN \r",
            "PROXY UNKNOWN \0",
            "PROXY UNKNOWN \u{e9}",
            "PROXY ",
        ];
        for line in rows {
            assert!(read(format!("{line}\r\n").as_bytes()).is_err(), "{line:?}");
        }
        assert!(read(b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n").is_err(), "a bare line feed");
        assert!(read(b"PROXY\r\n").is_err());
    }

    #[test]
    fn a_line_has_as_many_bytes_as_it_may() {
        for (length, whole) in [(106, true), (107, true), (108, false)] {
            let line = format!("PROXY UNKNOWN {:x<1$}\r\n", "", length - 16);
            assert_eq!(line.len(), length);
            assert_eq!(read(line.as_bytes()).is_ok(), whole, "{length} bytes");
        }
        let endless = format!("PROXY UNKNOWN {:x<200}", "");
        assert_eq!(read(&endless.as_bytes()[..106]), Ok(None));
        assert!(read(&endless.as_bytes()[..107]).is_err(), "no line end where the last one could be");
    }

    #[test]
    fn fixed_fields_are_those_that_are_known() {
        for command in 0..=u8::MAX {
            let taken = read(&binary(command, 0x11, &ipv4())).is_ok();
            assert_eq!(taken, matches!(command, 0x20 | 0x21), "command {command:#x}");
        }
        for family in 0..=u8::MAX {
            let taken = read(&binary(0x21, family, &vec![0; UNIX_BYTES])).is_ok();
            assert_eq!(taken, matches!(family, 0x00 | 0x11 | 0x21 | 0x31), "family {family:#x}");
        }
        for (family, bytes) in [(0x11, IPV4_BYTES), (0x21, IPV6_BYTES), (0x31, UNIX_BYTES)] {
            for (length, taken) in [(bytes - 1, false), (bytes, true), (bytes + 1, false), (bytes + 3, true)] {
                assert_eq!(read(&binary(0x21, family, &vec![0; length])).is_ok(), taken, "{family:#x}: {length}");
            }
        }
    }

    #[test]
    fn a_header_has_as_many_bytes_as_it_may_and_more_is_refused_before_it_comes() {
        for (length, taken) in [(4095, true), (4096, true), (4097, false)] {
            let value = u16::try_from(length - FIXED_BYTES - IPV4_BYTES - 3).unwrap().to_be_bytes();
            let mut rest = [&ipv4()[..], &[0xe0], &value].concat();
            rest.resize(length - FIXED_BYTES, 0);
            let header = binary(0x21, 0x11, &rest);
            assert_eq!(header.len(), length);
            assert_eq!(read(&header).is_ok(), taken, "{length} bytes");
            assert_eq!(read(&header[..FIXED_BYTES]).is_ok(), taken, "{length} bytes announced");
        }
    }

    #[test]
    fn fields_behind_the_addresses_end_where_the_header_does() {
        let rows: [(&[u8], bool); 6] = [
            (&[1], false),
            (&[1, 0], false),
            (&[1, 0, 0], true),
            (&[1, 0, 1], false),
            (&[1, 0, 1, 9], true),
            (&[1, 0, 1, 9, 4, 0, 0, 5], false),
        ];
        for (fields, taken) in rows {
            let header = binary(0x21, 0x11, &[&ipv4()[..], fields].concat());
            assert_eq!(read(&header).is_ok(), taken, "{fields:?}");
        }
    }
}
