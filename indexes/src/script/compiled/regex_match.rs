//! The matcher of regular expressions: it backtracks as the language defines it, on a stack of its own and with every
//! step counted, so that no pattern and no text can make a call hang.

use super::machine::Machine;
use super::regex::{Instruction, Pattern, Single, lower};
use super::text::Text;
use super::value::{Bound, Outcome, Stop, hand_over};

/// Instructions that one step pays for.
const INSTRUCTIONS_PER_STEP: u64 = 32;
/// Most places that wait for their turn.
const WAITING_MAX: usize = 1_000_000;

/// Where a match and its captures are, in units: the whole match first.
pub(super) type Captures = Vec<Option<(usize, usize)>>;

/// What is done when the match fails.
enum Waiting {
    /// Goes on there.
    Branch { at: usize, position: usize },
    /// Gives back one more unit of a run, as long as it has more than the least.
    Shorter { at: usize, least: usize, position: usize },
    /// Takes one more unit for a lazy run.
    Longer { at: usize, most: usize, position: usize },
    /// Puts a capture back.
    Capture { number: usize, old: Option<usize> },
    /// Puts a register back.
    Register { number: usize, old: usize },
}

/// The units of a text.
trait Units {
    fn get(&self, index: usize) -> Option<u16>;
    fn len(&self) -> usize;
}

impl Units for &[u8] {
    fn get(&self, index: usize) -> Option<u16> {
        <[u8]>::get(self, index).copied().map(u16::from)
    }
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }
}

impl Units for &[u16] {
    fn get(&self, index: usize) -> Option<u16> {
        <[u16]>::get(self, index).copied()
    }
    fn len(&self) -> usize {
        <[u16]>::len(self)
    }
}

impl<'a> Machine<'a> {
    /// Finds the first match at or after a place.
    ///
    /// # Errors
    /// When it takes too many steps; when case does not count and the text has letters beyond ASCII.
    pub fn find_match(
        &mut self,
        pattern: &Pattern,
        text: Text<'_>,
        from: usize,
    ) -> Outcome<'a, Option<Captures>> {
        match text {
            Text::Ascii(text) => self.search_units(pattern, text.as_bytes(), from),
            _ if pattern.ignore_case => hand_over(&"a case-insensitive match of text beyond ASCII"),
            text => {
                let units = text.units();
                self.charge(units.len() as u64 / 64)?;
                self.search_units(pattern, units.as_slice(), from)
            }
        }
    }

    fn search_units<U: Units>(
        &mut self,
        pattern: &Pattern,
        units: U,
        from: usize,
    ) -> Outcome<'a, Option<Captures>> {
        let mut matcher = Matcher {
            pattern,
            units,
            saved: vec![None; (pattern.captures + 1) * 2],
            registers: vec![0; pattern.registers],
            waiting: Vec::new(),
            instructions: 0,
        };
        let last = if pattern.anchored { from } else { matcher.units.len() };
        for start in from..=last {
            if pattern.anchored && start > 0 {
                break;
            }
            if let Some(end) = self.attempt(&mut matcher, start)? {
                let mut captures = vec![Some((start, end))];
                captures.extend(matcher.saved.chunks(2).skip(1).map(|ends| match ends {
                    [Some(begin), Some(end)] => Some((*begin, *end)),
                    _ => None,
                }));
                return Ok(Some(captures));
            }
        }
        Ok(None)
    }

    fn attempt<U: Units>(
        &mut self,
        matcher: &mut Matcher<'_, U>,
        start: usize,
    ) -> Outcome<'a, Option<usize>> {
        matcher.waiting.clear();
        matcher.saved.fill(None);
        let mut next = Some((0, start));
        while let Some((at, position)) = next {
            matcher.instructions += 1;
            if matcher.instructions.is_multiple_of(INSTRUCTIONS_PER_STEP) {
                self.charge(1)?;
                if matcher.waiting.len() > WAITING_MAX {
                    return Err(Stop::Bound(Bound::Memory));
                }
            }
            match matcher.step(at, position) {
                Step::On(at, position) => next = Some((at, position)),
                Step::Ran(at, position, units) => {
                    matcher.instructions += 1;
                    self.charge(units as u64 / INSTRUCTIONS_PER_STEP)?;
                    next = Some((at, position));
                }
                Step::Fail => next = matcher.backtrack(),
                Step::Done => return Ok(Some(position)),
            }
        }
        Ok(None)
    }
}

enum Step {
    On(usize, usize),
    /// A run took so many units.
    Ran(usize, usize, usize),
    Fail,
    Done,
}

struct Matcher<'p, U> {
    pattern: &'p Pattern,
    units: U,
    /// Begin and end of each capture; those of the whole match are not used.
    saved: Vec<Option<usize>>,
    registers: Vec<usize>,
    waiting: Vec<Waiting>,
    instructions: u64,
}

impl<U: Units> Matcher<'_, U> {
    fn step(&mut self, at: usize, position: usize) -> Step {
        let holds = |holds: bool| if holds { Step::On(at + 1, position) } else { Step::Fail };
        match self.pattern.instructions.get(at) {
            Some(Instruction::Single(single)) => {
                if self.takes(single, position) {
                    Step::On(at + 1, position + 1)
                } else {
                    Step::Fail
                }
            }
            Some(Instruction::Run { single, min, max, greedy }) => {
                self.run(at, single, (*min, *max), *greedy, position)
            }
            Some(Instruction::Begin) => holds(position == 0 || self.is_line_end(position - 1)),
            Some(Instruction::End) => holds(position == self.units.len() || self.is_line_end(position)),
            Some(Instruction::WordBorder(wanted)) => {
                let before = position.checked_sub(1).is_some_and(|before| self.is_word(before));
                holds((before != self.is_word(position)) == *wanted)
            }
            Some(Instruction::Save(number)) => {
                self.save(*number, Some(position));
                Step::On(at + 1, position)
            }
            Some(Instruction::Forget(from, to)) => {
                for number in from * 2..to * 2 {
                    self.save(number, None);
                }
                Step::On(at + 1, position)
            }
            Some(Instruction::Split(first, second)) => {
                self.waiting.push(Waiting::Branch { at: *second, position });
                Step::On(*first, position)
            }
            Some(Instruction::Jump(to)) => Step::On(*to, position),
            Some(Instruction::Mark(number)) => {
                if let Some(place) = self.registers.get_mut(*number) {
                    self.waiting.push(Waiting::Register { number: *number, old: *place });
                    *place = position;
                }
                Step::On(at + 1, position)
            }
            Some(Instruction::Progress(number)) => {
                holds(self.registers.get(*number).is_none_or(|begin| *begin != position))
            }
            Some(Instruction::Match) => Step::Done,
            None => Step::Fail,
        }
    }

    fn run(
        &mut self,
        at: usize,
        single: &Single,
        (min, max): (usize, usize),
        greedy: bool,
        position: usize,
    ) -> Step {
        let most = position.saturating_add(max);
        let least = position.saturating_add(min);
        let wanted = if greedy { most } else { least };
        let mut end = position;
        while end < wanted && self.takes(single, end) {
            end += 1;
        }
        if end < least {
            return Step::Fail;
        }
        if greedy {
            if end > least {
                self.waiting.push(Waiting::Shorter { at: at + 1, least, position: end });
            }
        } else if end < most {
            self.waiting.push(Waiting::Longer { at, most, position: end });
        }
        Step::Ran(at + 1, end, end - position)
    }

    fn backtrack(&mut self) -> Option<(usize, usize)> {
        loop {
            match self.waiting.pop()? {
                Waiting::Branch { at, position } => return Some((at, position)),
                Waiting::Shorter { at, least, position } => {
                    let shorter = position - 1;
                    if shorter > least {
                        self.waiting.push(Waiting::Shorter { at, least, position: shorter });
                    }
                    return Some((at, shorter));
                }
                Waiting::Longer { at, most, position } => {
                    let Some(Instruction::Run { single, .. }) = self.pattern.instructions.get(at) else {
                        continue;
                    };
                    if self.takes(single, position) {
                        let longer = position + 1;
                        if longer < most {
                            self.waiting.push(Waiting::Longer { at, most, position: longer });
                        }
                        return Some((at + 1, longer));
                    }
                }
                Waiting::Capture { number, old } => {
                    if let Some(place) = self.saved.get_mut(number) {
                        *place = old;
                    }
                }
                Waiting::Register { number, old } => {
                    if let Some(place) = self.registers.get_mut(number) {
                        *place = old;
                    }
                }
            }
        }
    }

    fn save(&mut self, number: usize, value: Option<usize>) {
        if let Some(place) = self.saved.get_mut(number) {
            self.waiting.push(Waiting::Capture { number, old: *place });
            *place = value;
        }
    }

    fn takes(&self, single: &Single, position: usize) -> bool {
        let Some(unit) = self.units.get(position) else { return false };
        match single {
            Single::Unit(wanted) if self.pattern.ignore_case => lower(unit) == *wanted,
            Single::Unit(wanted) => unit == *wanted,
            Single::Class(class) => class.contains(unit, self.pattern.ignore_case),
            Single::Dot => !is_line_end(unit),
            Single::Any => true,
        }
    }

    fn is_line_end(&self, position: usize) -> bool {
        self.pattern.multiline && self.units.get(position).is_some_and(is_line_end)
    }

    fn is_word(&self, position: usize) -> bool {
        let unit = self.units.get(position).and_then(|unit| u8::try_from(unit).ok());
        unit.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    }
}

const fn is_line_end(unit: u16) -> bool {
    matches!(unit, 0x0a | 0x0d | 0x2028 | 0x2029)
}
