//! What the compiled functions of one index keep from call to call on one thread: shapes and caches of places.
//!
//! All of it only makes the same answers come faster: a realm that was just made gives the same ones.

use super::fields::Remembered;
use super::machine::FIRST_SLOTS;
use super::program::Program;
use super::shapes::{ShapeId, Shapes};
use std::hash::{BuildHasher as _, RandomState};

/// Where a name was found last.
#[derive(Clone, Copy)]
pub(super) struct Cache {
    /// The shape of the object it was found in; [`NO_SHAPE`] before the first time.
    pub shape: ShapeId,
    /// Its place there; `None` when the shape does not have it.
    pub place: Option<u32>,
}

/// No shape has this number.
const NO_SHAPE: ShapeId = ShapeId::MAX;

/// What lasts from call to call.
pub(super) struct Realm {
    /// The shapes of objects.
    pub shapes: Shapes,
    /// One for each place in the program that reads a member.
    pub caches: Vec<Cache>,
    /// The shapes of the program's object literals; `None` for those with too many names.
    pub literals: Vec<Option<ShapeId>>,
    /// The shape of the argument of a reduce, and that of its key when it has several fields.
    pub group: Option<ShapeId>,
    pub key: Option<ShapeId>,
    /// What hashes of this realm begin with.
    pub seed: u64,
    /// For putting strings together.
    pub scratch: String,
    /// For each map: the names that most of its documents have, by their places.
    pub remembered: Vec<Vec<Remembered>>,
    /// Slots that calls of this program mostly need.
    pub first_slots: usize,
    /// How many turns of loops ran on text.
    pub native_turns: u64,
    /// Names of the object that was read last.
    pub recent_names: usize,
    /// Elements of the array that was read last.
    pub recent_elements: usize,
}

impl Realm {
    /// A new one for a program.
    pub fn new(program: &Program) -> Self {
        let mut realm = Self {
            shapes: Shapes::new(),
            caches: Vec::new(),
            literals: Vec::new(),
            group: None,
            key: None,
            seed: RandomState::new().hash_one(0),
            scratch: String::new(),
            remembered: program.maps.iter().map(|_| Vec::new()).collect(),
            first_slots: program.functions.iter().map(|code| code.slots).sum::<usize>().min(FIRST_SLOTS),
            native_turns: 0,
            recent_names: 4,
            recent_elements: 4,
        };
        realm.begin(program);
        realm
    }

    /// Begins anew when too much was met. Only between calls.
    pub fn tidy(&mut self, program: &Program) {
        if self.shapes.is_full() {
            self.shapes = Shapes::new();
            self.begin(program);
        }
    }

    fn begin(&mut self, program: &Program) {
        self.caches = vec![Cache { shape: NO_SHAPE, place: None }; program.caches];
        self.group = self.shapes.literal(&["key".into(), "values".into()]);
        self.key = program.group_by.as_ref().and_then(|group_by| {
            let mut names: Vec<Box<str>> = Vec::new();
            for field in &group_by.fields {
                if names.contains(&field.key.as_str().into()) {
                    return None;
                }
                names.push(field.key.as_str().into());
            }
            self.shapes.literal(&names)
        });
        self.literals = program.literals.iter().map(|names| self.shapes.literal(names)).collect();
    }
}
