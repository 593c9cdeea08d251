//! Values of the types that unit properties have, and how D-Bus puts them on the wire
//! (D-Bus specification, "Marshaling").
//!
//! By hand, and not by rustbus: what its connection lacks (an end to waiting for a peer that
//! hangs up, authentication from within a user namespace and without round trips) leaves of
//! its 18 crates the writing of a dozen types, which is this file.

/// A value. Lengths on the wire are 32 bits wide; what we send is kilobytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Byte(u8),
    Bool(bool),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    Text(String),
    /// The path of an object.
    Path(String),
    Array {
        /// The type of its elements.
        of: String,
        elements: Vec<Value>,
    },
    Tuple(Vec<Value>),
}

impl Value {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A list of strings.
    pub fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Array {
            of: "s".to_owned(),
            elements: texts.into_iter().map(Self::text).collect(),
        }
    }

    /// A list of bytes.
    pub fn bytes(bytes: impl IntoIterator<Item = u8>) -> Self {
        Self::Array {
            of: "y".to_owned(),
            elements: bytes.into_iter().map(Self::Byte).collect(),
        }
    }

    /// Its type, as a D-Bus signature.
    pub fn signature(&self) -> String {
        let letter = match self {
            Self::Byte(_) => "y",
            Self::Bool(_) => "b",
            Self::I16(_) => "n",
            Self::U16(_) => "q",
            Self::I32(_) => "i",
            Self::U32(_) => "u",
            Self::I64(_) => "x",
            Self::U64(_) => "t",
            Self::Text(_) => "s",
            Self::Path(_) => "o",
            Self::Array { of, .. } => return format!("a{of}"),
            Self::Tuple(fields) => {
                let fields: String = fields.iter().map(Self::signature).collect();
                return format!("({fields})");
            }
        };
        letter.to_owned()
    }

    /// Appends it; `out` starts at a multiple of eight in the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Byte(value) => out.push(*value),
            Self::Bool(value) => write_u32(out, u32::from(*value)),
            Self::I16(value) => write_aligned(out, &value.to_le_bytes()),
            Self::U16(value) => write_aligned(out, &value.to_le_bytes()),
            Self::I32(value) => write_aligned(out, &value.to_le_bytes()),
            Self::U32(value) => write_u32(out, *value),
            Self::I64(value) => write_aligned(out, &value.to_le_bytes()),
            Self::U64(value) => write_aligned(out, &value.to_le_bytes()),
            Self::Text(text) | Self::Path(text) => write_text(out, text),
            Self::Array { of, elements } => write_array(out, alignment(of), |out| {
                for element in elements {
                    element.write(out);
                }
            }),
            Self::Tuple(fields) => {
                align(out, 8);
                for field in fields {
                    field.write(out);
                }
            }
        }
    }

    /// Appends it with its type before it.
    pub fn write_variant(&self, out: &mut Vec<u8>) {
        write_signature(out, &self.signature());
        self.write(out);
    }
}

/// What a type is aligned to, by its signature's first letter.
pub(super) fn alignment(signature: &str) -> usize {
    match signature.as_bytes().first() {
        Some(b'n' | b'q') => 2,
        Some(b'b' | b'i' | b'u' | b's' | b'o' | b'a') => 4,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 1,
    }
}

pub(super) fn align(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

pub(super) fn write_u32(out: &mut Vec<u8>, value: u32) {
    write_aligned(out, &value.to_le_bytes());
}

/// Numbers are aligned to their own size.
fn write_aligned(out: &mut Vec<u8>, bytes: &[u8]) {
    align(out, bytes.len());
    out.extend_from_slice(bytes);
}

pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_u32(out, text.len() as u32);
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

pub(super) fn write_signature(out: &mut Vec<u8>, signature: &str) {
    out.push(signature.len() as u8);
    out.extend_from_slice(signature.as_bytes());
    out.push(0);
}

/// An array's length in bytes does not count the padding before its first element.
pub(super) fn write_array(
    out: &mut Vec<u8>,
    alignment: usize,
    elements: impl FnOnce(&mut Vec<u8>),
) {
    write_u32(out, 0);
    let length_at = out.len() - 4;
    align(out, alignment);
    let start = out.len();
    elements(out);
    let length = (out.len() - start) as u32;
    out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_aligned_and_typed() {
        let value = Value::Tuple(vec![
            Value::Byte(7),
            Value::U16(0x0102),
            Value::Bool(true),
            Value::text("ab"),
            Value::U64(5),
        ]);
        assert_eq!(value.signature(), "(yqbst)");
        let mut out = Vec::new();
        value.write(&mut out);
        assert_eq!(
            out,
            [
                7, 0, 2, 1, 1, 0, 0, 0, 2, 0, 0, 0, b'a', b'b', 0, 0, 5, 0, 0, 0, 0, 0, 0, 0
            ]
        );
    }

    #[test]
    fn arrays_count_their_elements_alone() {
        let value = Value::Array {
            of: "t".to_owned(),
            elements: vec![Value::U64(1)],
        };
        let mut out = Vec::new();
        value.write(&mut out);
        assert_eq!(out, [8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(value.signature(), "at");
        let mut empty = Vec::new();
        Value::texts([]).write_variant(&mut empty);
        assert_eq!(empty, [2, b'a', b's', 0, 0, 0, 0, 0]);
    }
}
