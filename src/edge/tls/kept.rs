//! Bytes that are left over, until somebody has use for them.

/// A queue of bytes that holds no memory while it is empty: almost all connections have nothing left over almost always.
#[derive(Debug, Default)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    taken: usize,
}

impl Kept {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    pub(super) fn rest_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.taken..]
    }

    /// Forgets the first `length` of the rest.
    pub(super) fn take(&mut self, length: usize) {
        self.taken += length;
        if self.taken >= self.bytes.len() {
            *self = Self::default();
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Appends what `fill` writes into `length` bytes of room. It answers how much that was.
    pub(super) fn push_with(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> usize) {
        let before = self.bytes.len();
        self.bytes.resize(before + length, 0);
        let filled = fill(&mut self.bytes[before..]);
        self.bytes.truncate(before + filled);
    }

    /// The memory it holds.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Copies the rest to the front of `room` and answers how long it is.
    pub(super) fn copy_to(&self, room: &mut [u8]) -> usize {
        let rest = self.rest();
        room[..rest.len()].copy_from_slice(rest);
        rest.len()
    }

    /// Keeps `bytes` in place of what was kept.
    pub(super) fn replace(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            *self = Self::default();
        } else {
            self.bytes.clear();
            self.bytes.extend_from_slice(bytes);
            self.taken = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_once_and_in_order() {
        let mut kept = Kept::default();
        kept.push(b"abc");
        kept.take(1);
        kept.push(b"de");
        kept.push_with(4, |room| {
            room[..2].copy_from_slice(b"fg");
            2
        });
        assert_eq!(kept.rest(), b"bcdefg");
        kept.take(6);
        assert!(kept.is_empty());
        assert_eq!(kept.rest(), b"");
        kept.push(b"x");
        assert_eq!(kept.rest(), b"x");
    }

    #[test]
    fn an_empty_queue_holds_no_memory() {
        let mut kept = Kept::default();
        kept.replace(&[1; 1000]);
        kept.take(999);
        assert!(kept.held_bytes() >= 1000);
        kept.take(1);
        assert_eq!(kept.held_bytes(), 0);
        kept.replace(b"ab");
        kept.take(1);
        kept.replace(b"cd");
        let mut room = [0; 4];
        assert_eq!((kept.copy_to(&mut room), &room), (2, b"cd\0\0"));
        kept.replace(b"");
        assert_eq!(kept.held_bytes(), 0);
    }
}
