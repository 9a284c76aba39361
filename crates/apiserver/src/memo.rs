//! Answers of servers outside that are remembered for a while, by the digest of what was asked: no token stays in memory for it.

use std::collections::HashMap;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

/// Answers at the most; then all are forgotten.
const MOST: usize = 4096;

/// See the module. Times are the trusted clock's, in seconds.
pub(crate) struct Memo<V>(Mutex<HashMap<[u8; 32], (V, i64)>>);

impl<V> Default for Memo<V> {
    fn default() -> Memo<V> {
        Memo(Mutex::default())
    }
}

impl<V: Clone> Memo<V> {
    pub fn get(&self, asked: &[u8], now: i64) -> Option<V> {
        let digest: [u8; 32] = Sha256::digest(asked).into();
        let all = self.0.lock();
        all.get(&digest).filter(|(_, until)| now < *until).map(|(value, _)| value.clone())
    }

    pub fn put(&self, asked: &[u8], value: V, until: i64) {
        let digest: [u8; 32] = Sha256::digest(asked).into();
        let mut all = self.0.lock();
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(digest, (value, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end() {
        let memo = Memo::default();
        memo.put(b"a", 1, 10);
        assert_eq!((memo.get(b"a", 9), memo.get(b"a", 10), memo.get(b"b", 9)), (Some(1), None, None));
        for asked in 0..=MOST as u32 {
            memo.put(&asked.to_be_bytes(), 2, 10);
        }
        assert!(memo.0.lock().len() <= MOST);
    }
}
