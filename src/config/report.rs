//! Everything that is wrong with a document, where `Document::parse` stops at the first.
//!
//! A value of the wrong type ends the reading. It is noted, something else is put in its
//! place, and the text is read again, until it can be read; then it is checked. What is
//! found in a place that was put there by us is no finding.

use super::check::Findings;
use super::document::{Document, Fault, Placed};
use super::locate::{Node, Position};
use super::path::Path;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What may stand in for a value that cannot be read.
const STAND_INS: [&str; 6] = ["null", "\"\"", "[]", "{}", "0", "false"];

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No container can be made of it.
    Error,
    /// It is odd.
    Warning,
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// Where in the config: "mounts[3].options[1]".
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// All findings about a document, and what it says as far as it can be understood.
pub struct Report<'a, T> {
    /// None where it is not even JSON, or nothing can stand in for what it lacks.
    pub value: Option<T>,
    document: &'a Document,
    tree: Node,
    found: Vec<(usize, Finding)>,
    /// The places of stand-ins.
    replaced: Vec<Path>,
}

impl<'a, T: DeserializeOwned> Report<'a, T> {
    /// Reads and checks.
    pub fn new(document: &'a Document, check: fn(&T) -> Findings) -> Self {
        let mut report = Self {
            value: None,
            document,
            tree: Node::read(document.text()),
            found: Vec::new(),
            replaced: Vec::new(),
        };
        report.read();
        if let Some(findings) = report.value.as_ref().map(check) {
            for key in document.unknown_keys::<T>() {
                let fault = Fault::new(key.path.clone(), key.message());
                report.add(Severity::Warning, key.offset, fault);
            }
            let faults = findings.faults.into_iter();
            faults.for_each(|fault| report.fault(Severity::Error, fault));
            let warnings = findings.warnings.into_iter();
            warnings.for_each(|warning| report.fault(Severity::Warning, warning));
        }
        report
    }

    /// Adds a finding of somebody who knows more than the document says.
    pub fn fault(&mut self, severity: Severity, fault: Fault) {
        // What holds a stand-in may be wrong by it too.
        let is_ours = |place: &Path| {
            fault.path.0.starts_with(&place.0)
                || (place.is_in(&fault.path) && severity == Severity::Error)
        };
        if !self.replaced.iter().any(is_ours) {
            self.add(severity, self.tree.value_of(&fault.path), fault);
        }
    }

    /// The findings in the order of the text.
    pub fn findings(mut self) -> Vec<Finding> {
        self.found.sort_by_key(|(offset, _)| *offset);
        self.found.into_iter().map(|(_, finding)| finding).collect()
    }

    fn add(&mut self, severity: Severity, offset: usize, fault: Fault) {
        let Position { line, column } = Position::of(self.document.text(), offset);
        let finding = Finding {
            severity,
            line,
            column,
            path: fault.path.to_string(),
            message: fault.message.replace('\n', "\\n"),
            hint: fault.hint,
        };
        self.found.push((offset, finding));
    }

    fn read(&mut self) {
        let mut text = self.document.text().to_vec();
        // Every round replaces a value by one that can be read, or one that holds it.
        loop {
            let copy = Document::new(self.document.name(), text.clone());
            let placed = match copy.read::<T>() {
                Ok((value, _)) => return self.value = Some(value),
                Err(placed) => placed,
            };
            let fault = &placed.fault;
            let offset = match self.replaced.is_empty() {
                true => placed.offset,
                // The text has changed: the value's own place is near enough.
                false => self.tree.value_of(&fault.path),
            };
            self.add(Severity::Error, offset, fault.clone());
            match placed.is_data.then(|| self.stand_in(&copy, &placed)) {
                Some(Some(next)) => text = next,
                _ => return,
            }
        }
    }

    /// The text with something in the place of what cannot be read, such that reading gets
    /// further: the value itself, else the nearest around it for which there is something.
    fn stand_in(&mut self, copy: &Document, placed: &Placed) -> Option<Vec<u8>> {
        let tree = Node::read(copy.text());
        let mut place = placed.fault.path.clone();
        if let Some(field) = missing_field(&placed.fault.message) {
            let member = place.then(field);
            let at = tree.extent(&place)?.start + 1;
            for stand_in in STAND_INS {
                let insertion = format!("{:?}:{stand_in},", field);
                if let Some(text) = self.attempt(copy, at..at, &insertion, &member) {
                    return Some(text);
                }
            }
        }
        let word = expected_word(&placed.fault.message).map(|word| format!("{word:?}"));
        loop {
            let extent = tree.extent(&place)?;
            for stand_in in word.iter().map(String::as_str).chain(STAND_INS) {
                if let Some(text) = self.attempt(copy, extent.clone(), stand_in, &place) {
                    return Some(text);
                }
            }
            place.0.pop()?;
        }
    }

    /// Tries a replacement: it is good if nothing is wrong there any more.
    fn attempt(
        &mut self,
        copy: &Document,
        extent: std::ops::Range<usize>,
        stand_in: &str,
        place: &Path,
    ) -> Option<Vec<u8>> {
        let mut text = copy.text().to_vec();
        text.splice(extent, stand_in.bytes());
        let next = Document::new(copy.name(), text);
        let is_good = match next.read::<T>() {
            Ok(_) => true,
            Err(placed) => placed.is_data && !placed.fault.path.0.starts_with(&place.0),
        };
        is_good.then(|| {
            self.replaced.push(place.clone());
            next.text().to_vec()
        })
    }
}

/// One of the words that serde would have taken: the last, which is rarely the one that the
/// config has elsewhere.
fn expected_word(message: &str) -> Option<&str> {
    let (_, words) = message.split_once("expected ")?;
    words.rsplit('`').nth(1)
}

/// The field that serde misses.
fn missing_field(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("missing field `")?;
    rest.split_once('`').map(|(name, _)| name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{Config, check};

    fn findings(text: &str) -> Vec<String> {
        let document = Document::new("/b/config.json", text.as_bytes().to_vec());
        let report = Report::<Config>::new(&document, check::config);
        let line = |f: Finding| format!("{}:{} {} {}", f.line, f.column, f.path, f.message);
        report.findings().into_iter().map(line).collect()
    }

    #[test]
    fn all_that_is_wrong_is_found_in_the_texts_order() {
        let text = r#"{
 "ociVersion": "banana",
 "process": {"args": [], "env": ["A=b", 7], "cwd": "rel", "user": {"uid": "0", "gid": 0}},
 "root": {"path": "r", "redonly": true},
 "mounts": [{"destination": 5}, {"destination": "/b", "options": "ro"}],
 "linux": {"namespaces": [{"type": "pid"}, {"type": "pidd"}, {"type": "pid"}]}
}"#;
        let found = findings(text);
        let starts = [
            "2:16 ociVersion ",
            "3:22 process.args ",
            "3:41 process.env[1] invalid type",
            "3:52 process.cwd ",
            "3:75 process.user.uid invalid type",
            "4:24 root.redonly unknown key",
            "5:29 mounts[0].destination invalid type",
            "5:66 mounts[1].options invalid type",
            "6:53 linux.namespaces[1].type unknown variant",
            "6:71 linux.namespaces[2].type ",
        ];
        for (line, start) in found.iter().zip(starts) {
            assert!(
                line.starts_with(start),
                "{line}\nnot {start}\nin {found:#?}"
            );
        }
        assert_eq!(found.len(), starts.len(), "{found:#?}");
    }

    #[test]
    fn what_is_missing_hides_nothing_else() {
        let found =
            findings(r#"{"root": {"readonly": 1}, "process": {"args": ["a"], "cwd": "x"}}"#);
        let missing: Vec<_> = found
            .iter()
            .filter(|f| f.contains("missing field"))
            .collect();
        assert!(
            missing.iter().any(|f| f.contains("`ociVersion`")),
            "{found:#?}"
        );
        assert!(
            missing
                .iter()
                .any(|f| f.contains("root missing field `path`")),
            "{found:#?}"
        );
        assert!(
            found.iter().any(|f| f.contains("process.cwd")),
            "{found:#?}"
        );
        assert!(
            found.iter().any(|f| f.contains("root.readonly")),
            "{found:#?}"
        );
    }

    #[test]
    fn what_is_not_json_is_one_finding() {
        for text in ["", "{", "{\"a\": }", "[1", "\u{1}"] {
            assert_eq!(findings(text).len(), 1, "{text:?}");
        }
        assert_eq!(findings("7").len(), 1);
    }
}
