//! Regular expressions of the plain kind, compiled to instructions for the matcher that counts its steps.
//!
//! Understood are ASCII patterns of characters, classes, groups, alternatives, greedy and lazy repetition and the
//! assertions `^ $ \b \B`, with the flags g, i, m and s. Everything else, and whatever the engine reads by rules of its
//! own, makes the index run in the engine.

use super::text::is_space;

/// Most instructions of a pattern.
const INSTRUCTIONS_MAX: usize = 4000;
/// Deepest nesting of groups.
const GROUPS_DEPTH_MAX: usize = 32;

/// A compiled regular expression.
#[derive(Debug)]
pub(super) struct Pattern {
    /// What the matcher runs.
    pub instructions: Vec<Instruction>,
    /// How many groups capture.
    pub captures: usize,
    /// How many registers remember where a turn of a loop began.
    pub registers: usize,
    /// Whether it can only match at the front.
    pub anchored: bool,
    /// The flag g: methods find all matches, and `test` and `exec` go on where they stopped.
    pub global: bool,
    /// The flag i.
    pub ignore_case: bool,
    /// The flag m.
    pub multiline: bool,
}

/// A set of UTF-16 units.
#[derive(Debug, Clone, Default)]
pub(super) struct Class {
    /// Ranges, both ends included.
    ranges: Vec<(u16, u16)>,
    negated: bool,
}

/// One thing that matches one unit.
#[derive(Debug, Clone)]
pub(super) enum Single {
    /// This one; in lower case when case does not count.
    Unit(u16),
    /// One of a set.
    Class(Class),
    /// Anything but line ends.
    Dot,
    /// Anything.
    Any,
}

/// What the matcher does.
#[derive(Debug)]
pub(super) enum Instruction {
    /// Takes one unit.
    Single(Single),
    /// Takes as many as there are, within bounds, and gives them back one by one; lazy ones begin with the fewest.
    Run {
        /// What they are.
        single: Single,
        /// At least so many.
        min: usize,
        /// At most so many.
        max: usize,
        /// Whether it begins with as many as it can get.
        greedy: bool,
    },
    /// The front of the text, or of a line.
    Begin,
    /// The end of the text, or of a line.
    End,
    /// Where a word begins or ends, or where none does.
    WordBorder(bool),
    /// Remembers the place as the begin or the end of a capture.
    Save(usize),
    /// Forgets captures, from one to before another.
    Forget(usize, usize),
    /// Goes on at the first, and at the second when that fails.
    Split(usize, usize),
    /// Goes on elsewhere.
    Jump(usize),
    /// Remembers where a turn of a loop begins.
    Mark(usize),
    /// Fails when the turn took nothing.
    Progress(usize),
    /// The end.
    Match,
}

enum Node {
    Empty,
    Single(Single),
    Begin,
    End,
    WordBorder(bool),
    Capture(usize, Box<Node>),
    Sequence(Vec<Node>),
    Either(Vec<Node>),
    Repeat { inner: Box<Node>, min: usize, max: Option<usize>, greedy: bool, captures: (usize, usize) },
}

impl Class {
    fn push(&mut self, from: u16, to: u16) {
        self.ranges.push((from, to));
    }

    fn push_class(&mut self, other: &Self) {
        if other.negated {
            let mut next = 0_u16;
            let mut ranges = other.ranges.clone();
            ranges.sort_unstable();
            for (from, to) in ranges {
                if from > next {
                    self.push(next, from - 1);
                }
                match to.checked_add(1) {
                    Some(after) => next = next.max(after),
                    None => return,
                }
            }
            self.push(next, u16::MAX);
        } else {
            self.ranges.extend_from_slice(&other.ranges);
        }
    }

    fn of(letter: u8) -> Option<Self> {
        let mut class = Self { ranges: Vec::new(), negated: letter.is_ascii_uppercase() };
        match letter.to_ascii_lowercase() {
            b'd' => class.push(u16::from(b'0'), u16::from(b'9')),
            b'w' => {
                for (from, to) in [(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')] {
                    class.push(u16::from(from), u16::from(to));
                }
            }
            b's' => {
                for unit in 0..=u16::MAX {
                    if char::from_u32(u32::from(unit)).is_some_and(is_space) {
                        class.push(unit, unit);
                    }
                }
            }
            _ => return None,
        }
        Some(class)
    }

    /// Whether the unit is in it.
    pub fn contains(&self, unit: u16, ignore_case: bool) -> bool {
        let within = |unit: u16| self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&unit));
        let found = within(unit) || (ignore_case && (within(lower(unit)) || within(upper(unit))));
        found != self.negated
    }
}

/// The lower case of an ASCII letter; every other unit itself.
pub(super) fn lower(unit: u16) -> u16 {
    u8::try_from(unit).map_or(unit, |byte| u16::from(byte.to_ascii_lowercase()))
}

fn upper(unit: u16) -> u16 {
    u8::try_from(unit).map_or(unit, |byte| u16::from(byte.to_ascii_uppercase()))
}

impl Pattern {
    /// Compiles a pattern and its flags; `None` when it is not of the plain kind.
    pub fn compile(pattern: &str, flags: &str) -> Option<Self> {
        if !pattern.is_ascii() || flags.bytes().any(|flag| !b"gims".contains(&flag)) {
            return None;
        }
        let has = |flag: char| flags.contains(flag);
        let mut parser = Parser {
            bytes: pattern.as_bytes(),
            at: 0,
            captures: 0,
            depth: 0,
            dot_all: has('s'),
            fold: has('i'),
        };
        let node = parser.either()?;
        if parser.at < pattern.len() {
            return None;
        }
        let mut emitter = Emitter { instructions: Vec::new(), registers: 0 };
        emitter.node(&node)?;
        emitter.push(Instruction::Match)?;
        let anchored = !has('m') && matches!(emitter.instructions.first(), Some(Instruction::Begin));
        Some(Self {
            instructions: emitter.instructions,
            captures: parser.captures,
            registers: emitter.registers,
            anchored,
            global: has('g'),
            ignore_case: has('i'),
            multiline: has('m'),
        })
    }
}

struct Parser<'p> {
    bytes: &'p [u8],
    at: usize,
    captures: usize,
    depth: usize,
    dot_all: bool,
    fold: bool,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn either(&mut self) -> Option<Node> {
        self.depth += 1;
        if self.depth > GROUPS_DEPTH_MAX {
            return None;
        }
        let mut branches = vec![self.sequence()?];
        while self.take(b'|') {
            branches.push(self.sequence()?);
        }
        self.depth -= 1;
        Some(if branches.len() == 1 { branches.pop()? } else { Node::Either(branches) })
    }

    fn sequence(&mut self) -> Option<Node> {
        let mut nodes = Vec::new();
        while self.peek().is_some_and(|byte| byte != b'|' && byte != b')') {
            let before = self.captures;
            let atom = self.atom()?;
            nodes.push(self.quantified(atom, before)?);
        }
        Some(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.pop()?,
            _ => Node::Sequence(nodes),
        })
    }

    fn atom(&mut self) -> Option<Node> {
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b'^' => Node::Begin,
            b'$' => Node::End,
            b'.' => Node::Single(if self.dot_all { Single::Any } else { Single::Dot }),
            b'(' => {
                let capture = if self.take(b'?') {
                    if !self.take(b':') {
                        return None;
                    }
                    None
                } else {
                    self.captures += 1;
                    Some(self.captures)
                };
                let inner = self.either()?;
                if !self.take(b')') {
                    return None;
                }
                match capture {
                    Some(number) => Node::Capture(number, Box::new(inner)),
                    None => inner,
                }
            }
            b'[' => Node::Single(Single::Class(self.class()?)),
            b'\\' => return self.escape(),
            b'*' | b'+' | b'?' | b'{' | b'}' | b']' => return None,
            byte => Node::Single(self.unit(u16::from(byte))),
        })
    }

    fn unit(&self, unit: u16) -> Single {
        Single::Unit(if self.fold { lower(unit) } else { unit })
    }

    fn escape(&mut self) -> Option<Node> {
        let byte = self.peek()?;
        if byte == b'b' || byte == b'B' {
            self.at += 1;
            return Some(Node::WordBorder(byte == b'b'));
        }
        if let Some(class) = Class::of(byte) {
            self.at += 1;
            return Some(Node::Single(Single::Class(class)));
        }
        let unit = self.escaped_unit()?;
        Some(Node::Single(self.unit(unit)))
    }

    /// The unit that an escape stands for, in a class and outside.
    fn escaped_unit(&mut self) -> Option<u16> {
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b't' => 9,
            b'n' => 10,
            b'v' => 11,
            b'f' => 12,
            b'r' => 13,
            b'0' if !self.peek().is_some_and(|next| next.is_ascii_digit()) => 0,
            b'x' => self.hexadecimal(2)?,
            b'u' => self.hexadecimal(4)?,
            byte if byte.is_ascii_punctuation() || byte == b' ' => u16::from(byte),
            _ => return None,
        })
    }

    fn hexadecimal(&mut self, digits: usize) -> Option<u16> {
        let text = std::str::from_utf8(self.bytes.get(self.at..self.at + digits)?).ok()?;
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.at += digits;
        u16::from_str_radix(text, 16).ok().filter(|unit| !(0xd800..=0xdfff).contains(unit))
    }

    fn class(&mut self) -> Option<Class> {
        let mut class = Class { ranges: Vec::new(), negated: self.take(b'^') };
        loop {
            if self.take(b']') {
                return Some(class);
            }
            let Some(from) = self.class_unit(&mut class)? else {
                // A hyphen next to `\d` and its like has rules of its own.
                if self.peek() == Some(b'-') && self.bytes.get(self.at + 1) != Some(&b']') {
                    return None;
                }
                continue;
            };
            if self.peek() == Some(b'-') && self.bytes.get(self.at + 1) != Some(&b']') {
                self.at += 1;
                let to = self.class_unit(&mut class)??;
                if to < from {
                    return None;
                }
                class.push(from, to);
            } else {
                class.push(from, from);
            }
        }
    }

    /// One unit of a class; `None` inside when it was a class of its own, which is added.
    #[expect(clippy::option_option, reason = "no unit and no understanding are two things")]
    fn class_unit(&mut self, class: &mut Class) -> Option<Option<u16>> {
        let byte = self.peek()?;
        self.at += 1;
        if byte != b'\\' {
            return Some(Some(u16::from(byte)));
        }
        let escaped = self.peek()?;
        if escaped == b'b' {
            self.at += 1;
            return Some(Some(8));
        }
        if let Some(inner) = Class::of(escaped) {
            self.at += 1;
            class.push_class(&inner);
            return Some(None);
        }
        self.escaped_unit().map(Some)
    }

    fn quantified(&mut self, atom: Node, captures_before: usize) -> Option<Node> {
        let (min, max) = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => {
                self.at += 1;
                let min = self.count()?;
                let max = if self.take(b',') {
                    if self.peek() == Some(b'}') { None } else { Some(self.count()?) }
                } else {
                    Some(min)
                };
                if self.peek() != Some(b'}') || max.is_some_and(|max| max < min) {
                    return None;
                }
                (min, max)
            }
            _ => return Some(atom),
        };
        self.at += 1;
        if matches!(atom, Node::Begin | Node::End | Node::WordBorder(_)) {
            return None;
        }
        let greedy = !self.take(b'?');
        if matches!(self.peek(), Some(b'*' | b'+' | b'?' | b'{')) {
            return None;
        }
        let captures = (captures_before + 1, self.captures + 1);
        Some(Node::Repeat { inner: Box::new(atom), min, max, greedy, captures })
    }

    fn count(&mut self) -> Option<usize> {
        let begin = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let digits = std::str::from_utf8(self.bytes.get(begin..self.at)?).ok()?;
        if digits.len() > 6 { None } else { digits.parse().ok() }
    }
}

struct Emitter {
    instructions: Vec<Instruction>,
    registers: usize,
}

impl Emitter {
    fn push(&mut self, instruction: Instruction) -> Option<usize> {
        if self.instructions.len() >= INSTRUCTIONS_MAX {
            return None;
        }
        self.instructions.push(instruction);
        Some(self.instructions.len() - 1)
    }

    fn set(&mut self, at: usize, instruction: Instruction) {
        if let Some(place) = self.instructions.get_mut(at) {
            *place = instruction;
        }
    }

    fn node(&mut self, node: &Node) -> Option<()> {
        match node {
            Node::Empty => {}
            Node::Single(single) => {
                self.push(Instruction::Single(single.clone()))?;
            }
            Node::Begin => {
                self.push(Instruction::Begin)?;
            }
            Node::End => {
                self.push(Instruction::End)?;
            }
            Node::WordBorder(wanted) => {
                self.push(Instruction::WordBorder(*wanted))?;
            }
            Node::Capture(number, inner) => {
                self.push(Instruction::Save(number * 2))?;
                self.node(inner)?;
                self.push(Instruction::Save(number * 2 + 1))?;
            }
            Node::Sequence(nodes) => nodes.iter().try_for_each(|node| self.node(node))?,
            Node::Either(branches) => self.either(branches)?,
            Node::Repeat { inner, min, max, greedy, captures } => {
                if let Node::Single(single) = &**inner {
                    let (single, min, max) = (single.clone(), *min, max.unwrap_or(usize::MAX));
                    self.push(Instruction::Run { single, min, max, greedy: *greedy })?;
                } else {
                    self.repeat(inner, (*min, *max), *greedy, *captures)?;
                }
            }
        }
        Some(())
    }

    fn either(&mut self, branches: &[Node]) -> Option<()> {
        let mut ends = Vec::new();
        let (last, others) = branches.split_last()?;
        for branch in others {
            let split = self.push(Instruction::Match)?;
            self.node(branch)?;
            ends.push(self.push(Instruction::Match)?);
            let next = self.instructions.len();
            self.set(split, Instruction::Split(split + 1, next));
        }
        self.node(last)?;
        let end = self.instructions.len();
        ends.into_iter().for_each(|at| self.set(at, Instruction::Jump(end)));
        Some(())
    }

    fn repeat(
        &mut self,
        inner: &Node,
        (min, max): (usize, Option<usize>),
        greedy: bool,
        captures: (usize, usize),
    ) -> Option<()> {
        for _ in 0..min {
            self.turn(inner, captures)?;
        }
        match max {
            None => {
                let split = self.optional_turn(inner, captures)?;
                self.push(Instruction::Jump(split))?;
                self.finish_split(split, greedy);
            }
            Some(max) => {
                let mut splits = Vec::new();
                for _ in min..max {
                    splits.push(self.optional_turn(inner, captures)?);
                }
                splits.into_iter().for_each(|split| self.finish_split(split, greedy));
            }
        }
        Some(())
    }

    fn turn(&mut self, inner: &Node, (from, to): (usize, usize)) -> Option<()> {
        if from < to {
            self.push(Instruction::Forget(from, to))?;
        }
        self.node(inner)
    }

    /// A turn that may be left out, and that must take something.
    fn optional_turn(&mut self, inner: &Node, captures: (usize, usize)) -> Option<usize> {
        let split = self.push(Instruction::Match)?;
        let register = self.registers;
        self.registers += 1;
        self.push(Instruction::Mark(register))?;
        self.turn(inner, captures)?;
        self.push(Instruction::Progress(register))?;
        Some(split)
    }

    fn finish_split(&mut self, split: usize, greedy: bool) {
        let end = self.instructions.len();
        let (first, second) = if greedy { (split + 1, end) } else { (end, split + 1) };
        self.set(split, Instruction::Split(first, second));
    }
}
