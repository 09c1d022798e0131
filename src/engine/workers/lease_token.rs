//! The text by which a worker names its lease: the job, the fencing token, and a message authentication code that only
//! this store can compute. A text gives access to one attempt and nothing else, so callbacks need no other credential.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::access::SigningKey;
use crate::job::{Epoch, JobId};
use crate::store::LeaseRef;

/// Bytes of the epoch, which is in the code only, of the job, of the fencing token and of the code.
const EPOCH: usize = 4;
const JOB: usize = 16;
const TOKEN: usize = 8;
const CODE: usize = 16;
/// The length of a text.
const TEXT: usize = (JOB + TOKEN + CODE) * 4 / 3 + 1;
/// The prefix of every signed message, so that a signature for another purpose is never a valid code.
const PURPOSE: &[u8] = b"cortado lease ";

/// Makes and reads the texts of leases.
#[derive(Debug)]
pub struct LeaseTokens {
    key: SigningKey,
    /// The code of a lease contains the epoch. In another one, the same token may belong to another attempt of the job.
    epoch: Epoch,
}

impl LeaseTokens {
    /// The texts that are signed with this key, which must be kept as long as there are leases.
    pub fn new(key: SigningKey, epoch: Epoch) -> LeaseTokens {
        LeaseTokens { key, epoch }
    }

    /// The text of a lease.
    pub fn text(&self, lease: LeaseRef) -> String {
        let mut bytes = [0; JOB + TOKEN + CODE];
        bytes[..JOB].copy_from_slice(&lease.job.to_bytes());
        bytes[JOB..JOB + TOKEN].copy_from_slice(&lease.token.to_be_bytes());
        let code = self.code(&bytes[..JOB + TOKEN]);
        bytes[JOB + TOKEN..].copy_from_slice(&code);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The lease that a text names; `None` when this store did not make it, or made it in an earlier epoch.
    pub fn read(&self, text: &str) -> Option<LeaseRef> {
        if text.len() != TEXT {
            return None;
        }
        let mut bytes = [0; JOB + TOKEN + CODE];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        if length != bytes.len() {
            return None;
        }
        let (named, code) = bytes.split_at(JOB + TOKEN);
        let (job, token) = named.split_at(JOB);
        let lease = LeaseRef {
            job: JobId::from_bytes(job.try_into().ok()?),
            token: u64::from_be_bytes(token.try_into().ok()?),
        };
        bool::from(self.code(named).as_slice().ct_eq(code)).then_some(lease)
    }

    fn code(&self, named: &[u8]) -> [u8; CODE] {
        let mut message = [0; PURPOSE.len() + EPOCH + JOB + TOKEN];
        let (purpose, rest) = message.split_at_mut(PURPOSE.len());
        let (epoch, rest) = rest.split_at_mut(EPOCH);
        purpose.copy_from_slice(PURPOSE);
        epoch.copy_from_slice(&self.epoch.0.to_be_bytes());
        rest.copy_from_slice(named);
        let mut code = [0; CODE];
        code.copy_from_slice(&self.key.sign(&message)[..CODE]);
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_its_lease_and_cannot_be_made_up() {
        let tokens = LeaseTokens::new(SigningKey::from_bytes([1; 32]), Epoch(5));
        let lease = LeaseRef { job: JobId::from_u128(7), token: 43 };
        let text = tokens.text(lease);
        assert_eq!((text.len(), tokens.read(&text)), (TEXT, Some(lease)));
        let next = tokens.text(LeaseRef { token: 44, ..lease });
        let mixed = format!("{}{}", &next[..32], &text[32..]);
        for bad in ["", "nonsense", &mixed, &text[1..], &format!("{text}A"), &text.to_uppercase()] {
            assert_eq!(tokens.read(bad), None, "{bad}");
        }
        let other = LeaseTokens::new(SigningKey::from_bytes([2; 32]), Epoch(5));
        assert_eq!(other.read(&text), None, "another store made it");
        let later = LeaseTokens::new(SigningKey::from_bytes([1; 32]), Epoch(6));
        assert_eq!(later.read(&text), None, "it is of an earlier epoch");
    }
}
