//! Text in other encodings than UTF-8, decoded as it is read.

use encoding_rs::{CoderResult, Decoder};
use std::io::{Chain, Cursor, Error, ErrorKind, Read, Result};

/// The encoding of a text file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding(&'static encoding_rs::Encoding);

impl std::str::FromStr for Encoding {
    type Err = String;

    /// Any label of the WHATWG encoding standard: `latin1`, `windows-1252`, `utf-16le`, `gb18030`.
    fn from_str(label: &str) -> std::result::Result<Self, String> {
        encoding_rs::Encoding::for_label(label.as_bytes()).map(Self).ok_or_else(|| {
            format!(
                "unknown encoding {label:?}; usual ones are utf-8, latin1, utf-16le, utf-16be, shift_jis, \
                 gb18030"
            )
        })
    }
}

/// A stream of UTF-8 text, whatever its bytes were.
pub(crate) enum Text<'a> {
    /// The bytes themselves, which whoever reads them checks line by line.
    Plain(Chain<Cursor<Vec<u8>>, &'a mut dyn Read>),
    Decoded(Box<Decoding<'a>>),
}

impl<'a> Text<'a> {
    /// The stream's text under `encoding`; without, UTF-16 is known by its byte order mark.
    pub fn new(reader: &'a mut dyn Read, encoding: Option<Encoding>) -> Result<Self> {
        let mut mark = Vec::with_capacity(3);
        Read::take(&mut *reader, 3).read_to_end(&mut mark)?;
        let marked = match mark.as_slice() {
            [0xff, 0xfe, ..] => Some(Encoding(encoding_rs::UTF_16LE)),
            [0xfe, 0xff, ..] => Some(Encoding(encoding_rs::UTF_16BE)),
            [0xef, 0xbb, 0xbf] => Some(Encoding(encoding_rs::UTF_8)),
            _ => None,
        };
        if let (Some(marked), Some(encoding)) = (marked, encoding)
            && marked.0 != encoding.0
        {
            let (marked, encoding) = (marked.0.name(), encoding.0.name());
            return Err(Error::new(
                ErrorKind::InvalidData,
                format!("it begins with the mark of {marked}, and {encoding} was asked for"),
            ));
        }
        let bytes = Cursor::new(mark).chain(reader);
        Ok(match marked.or(encoding).filter(|encoding| encoding.0 != encoding_rs::UTF_8) {
            None => Self::Plain(bytes),
            Some(encoding) => Self::Decoded(Box::new(Decoding {
                bytes,
                name: encoding.0.name(),
                decoder: encoding.0.new_decoder_with_bom_removal(),
                input: vec![0; 1 << 16],
                text: Vec::new(),
                given: 0,
                ended: false,
            })),
        })
    }
}

impl Read for Text<'_> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        match self {
            Self::Plain(bytes) => bytes.read(into),
            Self::Decoded(decoding) => decoding.read(into),
        }
    }
}

/// Bytes on their way to UTF-8.
pub(crate) struct Decoding<'a> {
    bytes: Chain<Cursor<Vec<u8>>, &'a mut dyn Read>,
    name: &'static str,
    decoder: Decoder,
    input: Vec<u8>,
    /// Decoded text, of which so many bytes are given already.
    text: Vec<u8>,
    given: usize,
    ended: bool,
}

impl Read for Decoding<'_> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        while self.given == self.text.len() && !self.ended {
            let read = self.bytes.read(&mut self.input)?;
            self.ended = read == 0;
            let input = &self.input[..read];
            let most = self.decoder.max_utf8_buffer_length(read).unwrap_or(4 * read + 16);
            self.text.resize(most, 0);
            let (result, _, written, replaced) =
                self.decoder.decode_to_utf8(input, &mut self.text, self.ended);
            if replaced || result == CoderResult::OutputFull {
                // A replacement character would be a silent change.
                return Err(Error::new(
                    ErrorKind::InvalidData,
                    format!("it holds bytes that {} lacks", self.name),
                ));
            }
            self.text.truncate(written);
            self.given = 0;
        }
        let count = into.len().min(self.text.len() - self.given);
        into[..count].copy_from_slice(&self.text[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8], label: Option<&str>) -> Result<String> {
        let mut bytes = bytes;
        let encoding = label.map(|label| label.parse().unwrap());
        let mut text = String::new();
        Text::new(&mut bytes, encoding)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn encodings_are_decoded() {
        let long = "é,ü,ß\n".repeat(50_000);
        let utf16: Vec<u8> =
            [0xfeff].into_iter().chain(long.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(decoded(&utf16, None).unwrap(), long);
        let latin: Vec<u8> = long.chars().map(|c| c as u8).collect();
        assert_eq!(decoded(&latin, Some("latin1")).unwrap(), long);
        assert_eq!(decoded(long.as_bytes(), None).unwrap(), long);
        assert_eq!(decoded(b"", None).unwrap(), "");
        assert_eq!(decoded(b"a", Some("latin1")).unwrap(), "a");
        let wrong = decoded(b"a\x82", Some("shift_jis")).unwrap_err().to_string();
        assert!(wrong.contains("Shift_JIS"), "{wrong}");
        assert!("klingon".parse::<Encoding>().is_err());
    }
}
