//! Where in a JSON text a value stands, and which value stands at a place.
//!
//! Used only once something is to be said about a text, so that reading one that has
//! nothing wrong pays nothing for it. The text may be broken: what was understood up to
//! there is kept.

use super::path::{Path, Step};
use std::borrow::Cow;
use std::ops::Range;

/// serde_json gives up below this too.
const DEPTH: usize = 128;

/// A value of a text, with the values in it.
#[derive(Debug, Default)]
pub struct Node {
    /// Its key, where it is an object's member, and where that stands.
    key: Option<(String, usize)>,
    /// From its first byte to past its last.
    value: Range<usize>,
    /// The members or elements, in the text's order.
    children: Vec<Node>,
}

/// Line and column as editors count them: from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// The position of a byte.
    pub fn of(text: &[u8], offset: usize) -> Self {
        let before = &text[..offset.min(text.len())];
        let start = before
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        let is_first_byte = |byte: &&u8| **byte & 0xC0 != 0x80;
        Self {
            line: before.iter().filter(|&&byte| byte == b'\n').count() + 1,
            column: before[start..].iter().filter(is_first_byte).count() + 1,
        }
    }
}

impl Node {
    /// Reads a text, as far as it can be read.
    pub fn read(text: &[u8]) -> Self {
        let mut node = Self::default();
        let mut scanner = Scanner { text, at: 0 };
        scanner.skip_space();
        // What is broken ends the scan; the nodes up to there are complete.
        let _ = scanner.value(&mut node, DEPTH);
        node
    }

    /// Gives `each` every object: its path, and its members' keys and their places.
    pub fn each_object(&self, mut each: impl FnMut(&Path, &[&(String, usize)])) {
        let mut todo = vec![(Path::default(), self)];
        while let Some((path, node)) = todo.pop() {
            let keys: Vec<_> = node
                .children
                .iter()
                .filter_map(|child| child.key.as_ref())
                .collect();
            if !keys.is_empty() {
                each(&path, &keys);
            }
            let children = node.children.iter().enumerate();
            // Last in, first out: in the text's order.
            todo.extend(
                children
                    .rev()
                    .map(|(index, child)| (path.then(child.step(index)), child)),
            );
        }
    }

    /// Where a value stands. Of a path that leads nowhere, the value it leaves off at.
    pub fn value_of(&self, path: &Path) -> usize {
        self.find(path).value.start
    }

    /// The bytes of the value at exactly this path.
    pub fn extent(&self, path: &Path) -> Option<Range<usize>> {
        let (node, depth) = self.walk(path);
        (depth == path.0.len()).then(|| node.value.clone())
    }

    fn find(&self, path: &Path) -> &Self {
        self.walk(path).0
    }

    /// Follows a path as far as it leads: the node, and after how many steps.
    fn walk(&self, path: &Path) -> (&Self, usize) {
        let mut node = self;
        for (depth, step) in path.0.iter().enumerate() {
            let child = match step {
                Step::Index(index) => node.children.get(*index),
                // Of a key given twice, the last is the one that counts.
                Step::Key(key) => node
                    .children
                    .iter()
                    .rev()
                    .find(|child| child.is_called(key)),
            };
            match child {
                Some(child) => node = child,
                None => return (node, depth),
            }
        }
        (node, path.0.len())
    }

    fn is_called(&self, name: &str) -> bool {
        self.key.as_ref().is_some_and(|(key, _)| key == name)
    }

    /// The innermost value around a place, and where to point for it. The place is where a
    /// reader stopped: right behind the culprit, or behind space after it. With `inside`,
    /// the value that ends there is itself the culprit, for lack of something in it.
    pub fn around(&self, offset: usize, inside: bool) -> (Path, usize) {
        let mut path = Path::default();
        let mut node = self;
        let mut place = self.value.start;
        loop {
            let ended = inside && node.value.end == offset;
            let child = match node
                .children
                .iter()
                .rposition(|child| child.start() <= offset)
            {
                Some(index) if !ended => index,
                _ => return (path, place),
            };
            path.0.push(node.children[child].step(child));
            node = &node.children[child];
            // Right behind a key is what a reader says about the key.
            place = if offset < node.value.start {
                node.start()
            } else {
                node.value.start
            };
        }
    }

    /// The first string with `letter` in it: a value, or a member's key.
    pub fn string_with(&self, text: &str, letter: char) -> Option<(Path, usize)> {
        let key = self.key.as_ref().filter(|(key, _)| key.contains(letter));
        if let Some((_, at)) = key {
            return Some((Path::default(), *at));
        }
        if let Ok(string) = serde_json::from_str::<Cow<'_, str>>(&text[self.value.clone()]) {
            return string
                .contains(letter)
                .then(|| (Path::default(), self.value.start));
        }
        self.children.iter().enumerate().find_map(|(index, child)| {
            let (mut path, place) = child.string_with(text, letter)?;
            path.0.insert(0, child.step(index));
            Some((path, place))
        })
    }

    /// The step that leads to this child from its parent.
    fn step(&self, index: usize) -> Step {
        match &self.key {
            Some((key, _)) => Step::Key(key.clone()),
            None => Step::Index(index),
        }
    }

    fn start(&self) -> usize {
        self.key.as_ref().map_or(self.value.start, |(_, at)| *at)
    }
}

/// Reads values off a text; `None` is where it is broken.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn eat(&mut self, wanted: u8) -> Option<()> {
        self.skip_space();
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    /// Reads the value that begins here into `node`, which has its extent even if the
    /// value is broken.
    fn value(&mut self, node: &mut Node, depth: usize) -> Option<()> {
        node.value = self.at..self.text.len();
        match self.peek()? {
            b'{' => self.children(node, depth.checked_sub(1)?, b'}')?,
            b'[' => self.children(node, depth.checked_sub(1)?, b']')?,
            b'"' => self.string().map(drop)?,
            _ => self.word()?,
        }
        node.value.end = self.at;
        Some(())
    }

    fn children(&mut self, node: &mut Node, depth: usize, end: u8) -> Option<()> {
        self.at += 1;
        if self.eat(end).is_some() {
            return Some(());
        }
        loop {
            self.skip_space();
            let mut child = Node::default();
            let whole = self.child(&mut child, depth, end == b'}');
            node.children.push(child);
            whole?;
            if self.eat(b',').is_none() {
                return self.eat(end);
            }
        }
    }

    fn child(&mut self, child: &mut Node, depth: usize, keyed: bool) -> Option<()> {
        if keyed {
            let at = self.at;
            child.value = at..self.text.len();
            let key = self.string()?;
            child.key = Some((key, at));
            self.eat(b':')?;
            self.skip_space();
        }
        self.value(child, depth)
    }

    fn string(&mut self) -> Option<String> {
        let start = self.at;
        if self.peek()? != b'"' {
            return None;
        }
        loop {
            self.at += 1;
            match self.peek()? {
                b'\\' => self.at += 1,
                b'"' => break,
                _ => {}
            }
        }
        self.at += 1;
        let literal = &self.text[start..self.at];
        let inner = || String::from_utf8_lossy(&literal[1..literal.len() - 1]).into_owned();
        match serde_json::from_slice::<Cow<'_, str>>(literal) {
            Ok(text) => Some(text.into_owned()),
            Err(_) => Some(inner()),
        }
    }

    /// A number, `true`, `false`, `null`, or something that is none of these.
    fn word(&mut self) -> Option<()> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}
