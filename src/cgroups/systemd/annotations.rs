//! Annotations `org.systemd.property.NAME`: properties of the unit, their values written as
//! GVariant text ("uint64 5", "'text'", "['a', 'b']"), as runc and crun have them.

use super::properties::Property;
use super::value::Value;
use crate::error::{Code, Error, Result};
use std::collections::BTreeMap;

const PREFIX: &str = "org.systemd.property.";

/// Beginnings and ends of the names of properties by which something is executed, started or
/// stopped: an engine's user may be allowed to annotate a container, and not to switch off the
/// machine (CVE-2024-3154).
const STARTS: [&str; 7] = [
    "Exec",
    "OnFailure",
    "OnSuccess",
    "Wants",
    "Requires",
    "BindsTo",
    "Upholds",
];
const STOPS: [&str; 4] = [
    "Conflict",
    "PropagatesStopTo",
    "PropagatesReloadTo",
    "Triggers",
];
const ACTION: &str = "Action";
/// The same from the other side: the container's end is another unit's.
const INVERSES: [&str; 6] = [
    "RequiredBy",
    "RequisiteOf",
    "WantedBy",
    "BoundBy",
    "ConsistsOf",
    "UpheldBy",
];
/// What would put the host's processes into the unit or take the container out of its
/// confinement, and what the config itself says.
const OURS: [&str; 9] = [
    "PIDs",
    "Slice",
    "Delegate",
    "DelegateSubgroup",
    "DevicePolicy",
    "DeviceAllow",
    "BPFProgram",
    "IPIngressFilterPath",
    "IPEgressFilterPath",
];
/// The longest that the D-Bus specification allows a signature to be, in bytes.
const LONGEST_SIGNATURE: usize = 255;
/// How deep values may nest: arrays and structs, 32 each ("Valid Signatures").
const DEEPEST: usize = 64;
/// This begins like one of those, but only waits for mounts.
const HARMLESS: &str = "RequiresMountsFor";

/// The properties that a container's annotations ask for.
pub(super) fn properties(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>> {
    let mut properties = Vec::new();
    for (key, text) in annotations {
        let Some(name) = key.strip_prefix(PREFIX) else {
            continue;
        };
        let invalid = |why: &str| {
            let message = format!("annotations[{key:?}]: {why}");
            Error::new(Code::InvalidConfig, message)
        };
        check(name).map_err(invalid)?;
        let parsed = parse(text).ok_or_else(|| {
            invalid(&format!("{text:?} is no value in GVariant's text format"))
                .hint("as \"uint64 5\", \"true\", \"'text'\" or \"['a', 'b']\"")
        })?;
        properties.push(in_microseconds(name, parsed).map_err(invalid)?);
    }
    Ok(properties)
}

fn check(name: &str) -> std::result::Result<(), &'static str> {
    if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err("that is no property's name");
    }
    let is_one_of = |list: &[&str]| list.iter().any(|start| name.starts_with(start));
    let acts = is_one_of(&STARTS) || is_one_of(&STOPS) || name.ends_with(ACTION);
    if name != HARMLESS && (acts || INVERSES.contains(&name)) {
        return Err("a property that executes, starts or stops something is not for a container");
    }
    if OURS.contains(&name) {
        return Err("this property is the runtime's own to set");
    }
    Ok(())
}

/// Times are documented as "TimeoutStopSec", in seconds, and set as "TimeoutStopUSec".
fn in_microseconds(name: &str, parsed: Parsed) -> std::result::Result<Property, &'static str> {
    let seconds = name
        .strip_suffix("Sec")
        .filter(|stem| stem.ends_with(|last: char| last.is_ascii_lowercase()));
    match (seconds, parsed) {
        (None, Parsed::Value(value)) => Ok((name.to_owned(), value)),
        (None, Parsed::Decimal(_)) => Err("systemd has no property with a decimal point"),
        (Some(stem), parsed) => {
            let seconds = match parsed {
                Parsed::Decimal(seconds) => seconds,
                Parsed::Value(value) => {
                    integer(&value).ok_or("a time in seconds is a number")? as f64
                }
            };
            // As any conversion to an integer, it stays within its bounds.
            let microseconds = (seconds * 1e6) as u64;
            Ok((format!("{stem}USec"), Value::U64(microseconds)))
        }
    }
}

fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Byte(number) => Some((*number).into()),
        Value::I16(number) => Some((*number).into()),
        Value::U16(number) => Some((*number).into()),
        Value::I32(number) => Some((*number).into()),
        Value::U32(number) => Some((*number).into()),
        Value::I64(number) => Some((*number).into()),
        Value::U64(number) => Some((*number).into()),
        _ => None,
    }
}

/// What the text says.
#[derive(Debug, PartialEq)]
enum Parsed {
    Value(Value),
    /// No property is one, but seconds may be written so.
    Decimal(f64),
}

fn parse(text: &str) -> Option<Parsed> {
    if let Ok(number) = text.trim().parse::<f64>()
        && text.contains('.')
    {
        return Some(Parsed::Decimal(number));
    }
    let mut reader = Reader {
        rest: text,
        depth: 0,
    };
    let value = reader.value("")?;
    reader.skip_space();
    let is_sound = reader.rest.is_empty() && value.signature().len() <= LONGEST_SIGNATURE;
    is_sound.then_some(Parsed::Value(value))
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A value; `kind` is the type it must have, or empty.
    fn value(&mut self, kind: &str) -> Option<Value> {
        if self.depth == DEEPEST {
            return None;
        }
        self.depth += 1;
        let value = self.any(kind);
        self.depth -= 1;
        value
    }

    fn any(&mut self, kind: &str) -> Option<Value> {
        self.skip_space();
        match self.rest.chars().next()? {
            '[' => self.array(kind),
            '(' => self.tuple(kind),
            '\'' | '"' => self.text(kind),
            '@' => {
                let (given, rest) = self.rest[1..].split_once(' ')?;
                if !given.bytes().all(|code| b"ybnqiuxtsogv(a)".contains(&code)) {
                    return None;
                }
                self.rest = rest;
                self.value(given)
            }
            _ => self.word(kind),
        }
    }

    /// A number, or a word that is a value or says of what type the next is.
    fn word(&mut self, kind: &str) -> Option<Value> {
        let is_end = |c: char| !(c.is_ascii_alphanumeric() || "+-".contains(c));
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        let given = match word {
            "true" | "false" if matches!(kind, "" | "b") => {
                return Some(Value::Bool(word == "true"));
            }
            "boolean" => "b",
            "byte" => "y",
            "int16" => "n",
            "uint16" => "q",
            "int32" | "handle" => "i",
            "uint32" => "u",
            "int64" => "x",
            "uint64" => "t",
            "string" => "s",
            "objectpath" => "o",
            number => return self::number(number, kind),
        };
        self.value(given)
    }

    fn text(&mut self, kind: &str) -> Option<Value> {
        let mut chars = self.rest.chars();
        let quote = chars.next()?;
        let mut text = String::new();
        loop {
            match chars.next()? {
                c if c == quote => break,
                // D-Bus cannot carry it.
                '\0' => return None,
                '\\' => text.push(match chars.next()? {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'u' => escaped(&mut chars, 4)?,
                    'U' => escaped(&mut chars, 8)?,
                    other => other,
                }),
                c => text.push(c),
            }
        }
        self.rest = chars.as_str();
        match kind {
            "" | "s" => Some(Value::Text(text)),
            "o" => Some(Value::Path(text)),
            _ => None,
        }
    }

    /// All elements have the type of the first.
    fn array(&mut self, kind: &str) -> Option<Value> {
        let mut of = match kind {
            "" => String::new(),
            kind => kind.strip_prefix('a')?.to_owned(),
        };
        let elements = self.list('[', ']', |reader, _| {
            let element = reader.value(&of)?;
            of = element.signature();
            Some(element)
        })?;
        (!of.is_empty()).then_some(Value::Array { of, elements })
    }

    fn tuple(&mut self, kind: &str) -> Option<Value> {
        let kinds = match kind {
            "" => None,
            kind => Some(kind.strip_prefix('(')?.strip_suffix(')')?.to_owned()),
        };
        let fields = self.list('(', ')', |reader, index| {
            // A tuple's type is only ever known where its fields' are single letters.
            let kind = kinds
                .as_ref()
                .map_or(Some(""), |all| all.get(index..=index));
            reader.value(kind?)
        })?;
        Some(Value::Tuple(fields))
    }

    fn list(
        &mut self,
        open: char,
        close: char,
        mut element: impl FnMut(&mut Self, usize) -> Option<Value>,
    ) -> Option<Vec<Value>> {
        let (open, close) = (open.to_string(), close.to_string());
        let mut elements = Vec::new();
        self.take(&open).then_some(())?;
        while !self.take(&close) {
            if !elements.is_empty() {
                self.take(",").then_some(())?;
            }
            // "(1,)" is a tuple of one.
            if self.take(&close) {
                break;
            }
            elements.push(element(self, elements.len())?);
        }
        Some(elements)
    }
}

fn escaped(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let hex = chars.as_str().get(..digits)?;
    let code = u32::from_str_radix(hex, 16).ok()?;
    chars.nth(digits - 1)?;
    char::from_u32(code).filter(|c| *c != '\0')
}

/// An integer, decimal, hexadecimal or octal; without a type, of 32 bits with a sign.
fn number(text: &str, kind: &str) -> Option<Value> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = match digits.strip_prefix("0x") {
        Some(hex) => (hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    let digits = Some(digits).filter(|text| text.starts_with(|c: char| c.is_ascii_hexdigit()))?;
    let size = i128::from_str_radix(digits, radix).ok()?;
    let number = if negative { -size } else { size };
    Some(match kind {
        "y" => Value::Byte(number.try_into().ok()?),
        "n" => Value::I16(number.try_into().ok()?),
        "q" => Value::U16(number.try_into().ok()?),
        "" | "i" => Value::I32(number.try_into().ok()?),
        "u" => Value::U32(number.try_into().ok()?),
        "x" => Value::I64(number.try_into().ok()?),
        "t" => Value::U64(number.try_into().ok()?),
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        match parse(text) {
            Some(Parsed::Value(value)) => value,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn values_have_the_types_that_are_written() {
        assert_eq!(value("uint64 123456789"), Value::U64(123_456_789));
        assert_eq!(value("-5"), Value::I32(-5));
        assert_eq!(value("byte 0xff"), Value::Byte(255));
        assert_eq!(value(" true "), Value::Bool(true));
        assert_eq!(value("'a \\'b\\u0041'"), Value::text("a 'bA"));
        assert_eq!(value("\"it's\""), Value::text("it's"));
        assert_eq!(value("['a', \"b\"]"), Value::texts(["a", "b"]));
        assert_eq!(value("@as []"), Value::texts([]));
        assert_eq!(value("[byte 1, 2]"), Value::bytes([1, 2]));
        assert_eq!(value("[('/dev/null', 'rw')]").signature(), "a(ss)");
        assert_eq!(value("objectpath '/a'"), Value::Path("/a".into()));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "",
            "x",
            "'open",
            "[1, 'a']",
            "uint64 -1",
            "byte 256",
            "5 6",
            "[1 2]",
            "[]",
            "uint64 'a'",
            "'\\u0000'",
            "(",
            "@",
            "--5",
            "0x",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    fn of(name: &str, text: &str) -> Result<Vec<Property>> {
        properties(&BTreeMap::from([(
            format!("{PREFIX}{name}"),
            text.to_owned(),
        )]))
    }

    #[test]
    fn seconds_become_microseconds() {
        let microseconds = |name, text| of(name, text).unwrap().remove(0);
        let expected = ("TimeoutStopUSec".to_owned(), Value::U64(2_500_000));
        assert_eq!(microseconds("TimeoutStopSec", "2.5"), expected);
        let expected = ("TimeoutStopUSec".to_owned(), Value::U64(7));
        assert_eq!(microseconds("TimeoutStopUSec", "uint64 7"), expected);
        assert!(of("TimeoutStopSec", "'x'").is_err());
        assert!(of("CPUWeight", "2.5").is_err());
    }

    #[test]
    fn what_executes_is_refused_and_others_are_not() {
        for bad in [
            "ExecStartPre",
            "SuccessAction",
            "FailureAction",
            "OnFailure",
            "Wants",
            "Conflicts",
            "a",
            "Some.Thing",
            "",
        ] {
            assert!(of(bad, "'x'").is_err(), "{bad}");
        }
        assert!(of("RequiresMountsFor", "['/var']").is_ok());
        assert!(of("CollectMode", "'inactive'").is_ok());
        assert!(
            properties(&BTreeMap::from([("com.example.x".into(), "?".into())]))
                .unwrap()
                .is_empty()
        );
    }
}
