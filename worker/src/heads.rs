//! Where every stream of the journal ends. Kept elsewhere, it tells what a chain cannot tell by itself: that events at the
//! end of a stream, or whole runs, were removed.

use std::collections::BTreeMap;
use std::fmt;

use sea_orm::ConnectionTrait;

use crate::chain::Head;
use crate::error::{Error, Result};
use crate::journal;

/// The first line of a head as text; the number is the format's.
const TITLE: &str = "backstitch journal head 1";

/// The last line begins so; the digest of all lines before it follows.
const DIGEST: &str = "digest ";

/// The last event of each (run, stream).
///
/// As text: a title, a line `run, stream, seq, hash` a stream with tabs between, and the digest of these lines. The
/// digest alone is enough to know such a text again, so that it may be noted where there is little room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heads(BTreeMap<(String, String), Head>);

impl Heads {
    /// The heads of all streams, at one instant.
    ///
    /// # Errors
    /// The database's.
    pub async fn load(connection: &impl ConnectionTrait) -> Result<Self> {
        journal::heads(connection).await.map(Self)
    }

    /// Reads what [`Heads`] is as text.
    ///
    /// # Errors
    /// [`Error::Usage`]: it is none, or was changed.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| Err(Error::Usage(format!("this is no head of a journal: {why}")));
        let Some((lines, digest)) = text.trim_end().rsplit_once('\n') else {
            return refuse("it has no lines");
        };
        let lines = format!("{lines}\n");
        if digest.strip_prefix(DIGEST) != Some(digest_of(&lines).as_str()) {
            return refuse(
                "its last line is not the digest of the others, so it was changed or cut off",
            );
        }
        let mut rest = lines.lines();
        if rest.next() != Some(TITLE) {
            return refuse("another release may have written it");
        }
        let mut heads = BTreeMap::new();
        for line in rest {
            let fields: Vec<_> = line.split('\t').collect();
            let [run, stream, seq, hash] = fields[..] else {
                return refuse("a line has not four fields");
            };
            let Ok(seq) = seq.parse() else {
                return refuse("a seq is not a number");
            };
            let hash = hash.to_owned();
            heads.insert((run.to_owned(), stream.to_owned()), Head { seq, hash });
        }
        Ok(Self(heads))
    }

    /// The streams with their heads, by run and stream.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Head)> {
        (self.0.iter()).map(|((run, stream), head)| (run.as_str(), stream.as_str(), head))
    }

    /// A stream's head.
    #[must_use]
    pub fn get(&self, run: &str, stream: &str) -> Option<&Head> {
        self.0.get(&(run.to_owned(), stream.to_owned()))
    }

    /// The digest of the text, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        digest_of(&self.lines())
    }

    fn lines(&self) -> String {
        let line = |(run, stream, head): (&str, &str, &Head)| {
            format!("{run}\t{stream}\t{}\t{}\n", head.seq, head.hash)
        };
        format!("{TITLE}\n{}", self.iter().map(line).collect::<String>())
    }
}

impl fmt::Display for Heads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        writeln!(formatter, "{lines}{DIGEST}{}", digest_of(&lines))
    }
}

fn digest_of(lines: &str) -> String {
    blake3::hash(lines.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heads() -> Heads {
        let head = |seq| Head {
            seq,
            hash: "a".repeat(64),
        };
        let place = |stream: &str| ("run-1".to_owned(), stream.to_owned());
        Heads(BTreeMap::from([
            (place("run"), head(7)),
            (place("unit/1.0.0"), head(12)),
        ]))
    }

    #[test]
    fn text_is_read_back() {
        for heads in [heads(), Heads::default()] {
            assert_eq!(Heads::parse(&heads.to_string()).expect("a head"), heads);
        }
    }

    proptest! {
        /// Whatever is changed in it is found.
        #[test]
        fn any_change_is_refused(place in 0..200_usize, to in any::<u8>()) {
            let text = heads().to_string();
            let mut bytes = text.clone().into_bytes();
            let place = place % (bytes.len() - 1);
            bytes[place] = to;
            if let Ok(changed) = String::from_utf8(bytes) {
                prop_assert_eq!(Heads::parse(&changed).is_ok(), changed == text);
            }
            prop_assert!(Heads::parse(&text[..place]).is_err());
        }
    }
}
