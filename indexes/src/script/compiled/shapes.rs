//! The shapes of objects: which names an object has, in which order. Objects made alike share one shape.
//!
//! A shape is found by adding names one after the other, starting at the empty shape. The name that followed last is
//! tried first: the values of one index mostly have the same names in the same order, and then finding the shape of a
//! JSON text costs one comparison a name. Objects with very many or ever new names have no shape (`record.rs`).
//!
//! Shapes outlive calls, but nothing of them can be seen by a script. Their number is bounded: [`Shapes::tidy`] forgets
//! them between calls when there are too many.

use super::text::array_index;
use magpie_store::json::Json;
use std::collections::HashMap;
use std::rc::Rc;

/// The number of a shape.
pub(super) type ShapeId = u32;

/// The shape without names.
pub(super) const EMPTY: ShapeId = 0;
/// Most names of a shape.
const NAMES_MAX: usize = 48;
/// Most shapes that follow one shape.
const NEXT_MAX: usize = 12;
/// Most shapes.
const SHAPES_MAX: usize = 4096;
/// Shapes with more names look them up by hash.
const LINEAR_NAMES_MAX: usize = 8;

/// One name of a shape.
struct Name {
    text: Box<str>,
    /// The name as it stands in JSON, with its quotes and the colon.
    json: Box<[u8]>,
    index: Option<u32>,
}

struct Shape {
    names: Vec<Rc<Name>>,
    /// Places by name, if there are many.
    places: Option<HashMap<Rc<str>, u32>>,
    /// The places in the order in which the language lists them, when that is not the order they were added in.
    order: Option<Box<[u32]>>,
    next: Vec<(Rc<Name>, ShapeId)>,
    /// Which of `next` was taken last.
    recent: usize,
}

/// All shapes of the functions of one index on one thread.
pub(super) struct Shapes {
    shapes: Vec<Shape>,
}

impl Shape {
    fn empty() -> Self {
        Self { names: Vec::new(), places: None, order: None, next: Vec::new(), recent: 0 }
    }

    fn with(&self, name: Rc<Name>) -> Self {
        let mut names = self.names.clone();
        names.push(name);
        let places = (names.len() > LINEAR_NAMES_MAX)
            .then(|| names.iter().zip(0..).map(|(name, place)| (Rc::from(&*name.text), place)).collect());
        let order = names.iter().any(|name| name.index.is_some()).then(|| {
            let mut order: Vec<u32> = (0..).take(names.len()).collect();
            let indices: Vec<Option<u32>> = names.iter().map(|name| name.index).collect();
            // Indices first, in ascending order; the sort is stable, so the other names keep theirs.
            order.sort_by_key(|place| {
                let index = usize::try_from(*place).ok().and_then(|at| indices.get(at).copied().flatten());
                index.map_or(u64::MAX, u64::from)
            });
            order.into_boxed_slice()
        });
        Self { names, places, order, next: Vec::new(), recent: 0 }
    }
}

impl Shapes {
    /// Only the empty shape.
    pub fn new() -> Self {
        Self { shapes: vec![Shape::empty()] }
    }

    /// Whether so many shapes were met that it is better to begin anew. Only between calls.
    pub fn is_full(&self) -> bool {
        self.shapes.len() >= SHAPES_MAX
    }

    fn shape(&self, shape: ShapeId) -> Option<&Shape> {
        self.shapes.get(usize::try_from(shape).ok()?)
    }

    /// How many names a shape has.
    pub fn len(&self, shape: ShapeId) -> usize {
        self.shape(shape).map_or(0, |shape| shape.names.len())
    }

    /// The place of a name.
    pub fn find(&self, shape: ShapeId, name: &str) -> Option<u32> {
        let shape = self.shape(shape)?;
        match &shape.places {
            Some(places) => places.get(name).copied(),
            None => {
                shape.names.iter().zip(0..).find(|(known, _)| *known.text == *name).map(|(_, place)| place)
            }
        }
    }

    /// The name at a place.
    pub fn name(&self, shape: ShapeId, place: usize) -> &str {
        self.shape(shape).and_then(|shape| shape.names.get(place)).map_or("", |name| &name.text)
    }

    /// The name at a place as it stands in JSON, with its quotes and the colon.
    pub fn json_name(&self, shape: ShapeId, place: usize) -> &[u8] {
        self.shape(shape).and_then(|shape| shape.names.get(place)).map_or(&[], |name| &name.json)
    }

    /// The places in the order in which the language lists them, when it is not that of their numbers.
    pub fn order(&self, shape: ShapeId) -> Option<&[u32]> {
        self.shape(shape)?.order.as_deref()
    }

    /// The shape with one more name, which must not be in it; `None` when it would be one too many.
    pub fn with(&mut self, shape: ShapeId, name: &str) -> Option<ShapeId> {
        self.next(shape, name, NEXT_MAX)
    }

    /// The shape of an object literal; `None` when it has too many names.
    pub fn literal(&mut self, names: &[Box<str>]) -> Option<ShapeId> {
        names.iter().try_fold(EMPTY, |at, name| self.next(at, name, SHAPES_MAX))
    }

    fn next(&mut self, shape: ShapeId, name: &str, next_max: usize) -> Option<ShapeId> {
        let at = usize::try_from(shape).ok()?;
        let count = self.shapes.len();
        let known = self.shapes.get_mut(at)?;
        if let Some((_, next)) = known.next.get(known.recent).filter(|(next, _)| *next.text == *name) {
            return Some(*next);
        }
        if let Some(place) = known.next.iter().position(|(next, _)| *next.text == *name) {
            known.recent = place;
            return known.next.get(place).map(|(_, next)| *next);
        }
        if known.names.len() >= NAMES_MAX || known.next.len() >= next_max || count >= SHAPES_MAX {
            return None;
        }
        let name = Rc::new(Name { text: name.into(), json: json_name(name), index: array_index(name) });
        let made = known.with(Rc::clone(&name));
        let id = ShapeId::try_from(count).ok()?;
        known.recent = known.next.len();
        known.next.push((name, id));
        self.shapes.push(made);
        Some(id)
    }

    /// The name that most likely comes next when an object with this shape is read.
    pub fn expected(&self, shape: ShapeId) -> Option<(&[u8], ShapeId)> {
        let shape = self.shape(shape)?;
        shape.next.get(shape.recent).map(|(name, next)| (&*name.json, *next))
    }
}

/// A name as it stands in an object's JSON text.
pub(super) fn json_name(name: &str) -> Box<[u8]> {
    let mut text = Vec::with_capacity(name.len() + 3);
    Json::from(name).write_to(&mut text);
    text.push(b':');
    text.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::{EMPTY, Shapes};

    #[test]
    fn objects_made_alike_share_a_shape() {
        let mut shapes = Shapes::new();
        let mut make = |names: &[&str]| names.iter().fold(EMPTY, |at, name| shapes.with(at, name).unwrap());
        let one = make(&["user", "seconds"]);
        assert_eq!(make(&["user", "seconds"]), one);
        assert_ne!(make(&["seconds", "user"]), one);
        assert_eq!(shapes.find(one, "seconds"), Some(1));
        assert_eq!(shapes.find(one, "second"), None);
        assert_eq!(shapes.expected(EMPTY).map(|(name, _)| name), Some(b"\"seconds\":".as_slice()));
    }

    #[test]
    fn indices_are_listed_first() {
        let mut shapes = Shapes::new();
        let shape = ["b", "10", "a", "9"].iter().fold(EMPTY, |at, name| shapes.with(at, name).unwrap());
        assert_eq!(shapes.order(shape), Some([3, 1, 0, 2].as_slice()));
    }

    #[test]
    fn names_and_shapes_have_a_limit() {
        let mut shapes = Shapes::new();
        let mut shape = EMPTY;
        let mut count = 0;
        while let Some(next) = shapes.with(shape, &format!("n{count}")) {
            shape = next;
            count += 1;
        }
        assert_eq!(count, super::NAMES_MAX);
        assert_eq!(shapes.find(shape, "n47"), Some(47));
        assert!((0..100).filter(|n| shapes.with(EMPTY, &format!("m{n}")).is_some()).count() < 20);
    }
}
