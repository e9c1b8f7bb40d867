//! Which foreign writes and which of blue's changes are of one row, or exclude each other, or are of a row and of one that
//! refers to it. Pure.

use std::collections::{HashMap, VecDeque};

use super::point::{KeyKind, Point};
use crate::model::Coordinates;

/// Foreign writes that may still be met; those beyond are journalled, but what they meet is not told.
const MAX_OPEN: usize = 1_000_000;
/// Points of rows that blue changed last, for foreign writes that come behind a change.
const MAX_RECENT: usize = 1 << 18;

/// Foreign writes that no change of blue has met.
#[derive(Default)]
pub(super) struct Open {
    ids: HashMap<u64, Vec<u64>>,
    points: HashMap<u64, Vec<(u64, Point)>>,
}

/// A change of blue met foreign writes.
pub(super) struct Met {
    pub(super) how: &'static str,
    /// The writes, oldest first.
    pub(super) ids: Vec<u64>,
}

impl Open {
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(super) fn add(&mut self, id: u64, points: &[Point]) {
        if points.is_empty() || self.ids.len() >= MAX_OPEN {
            return;
        }
        self.ids.insert(id, points.iter().map(|point| point.hash).collect());
        for point in points {
            self.points.entry(point.hash).or_default().push((id, *point));
        }
    }

    /// The writes that a change with these points meets. They stay until they are removed: in one transaction the row may
    /// go first, and then come the one that it was in the way of.
    pub(super) fn meet(&self, points: &[Point]) -> Vec<Met> {
        let mut met: Vec<Met> = Vec::new();
        // That it is the same row says more than that it has the same values, and those more than that one refers to it.
        let rows_first = [KeyKind::Row, KeyKind::Unique, KeyKind::Parent, KeyKind::Child];
        let in_order = rows_first.iter().flat_map(|kind| points.iter().filter(move |point| point.key == *kind));
        for point in in_order {
            let here = self.points.get(&point.hash).into_iter().flatten();
            let is_told = |id: u64| met.iter().any(|met| met.ids.contains(&id));
            let mut ids: Vec<u64> =
                here.filter(|(id, other)| *other == point.counterpart() && !is_told(*id)).map(|(id, _)| *id).collect();
            ids.sort_unstable();
            if !ids.is_empty() {
                met.push(Met { how: point.key.met(), ids });
            }
        }
        met
    }

    pub(super) fn remove(&mut self, id: u64) {
        for hash in self.ids.remove(&id).unwrap_or_default() {
            if let Some(here) = self.points.get_mut(&hash) {
                here.retain(|(other, _)| *other != id);
                if here.is_empty() {
                    self.points.remove(&hash);
                }
            }
        }
    }
}

/// The keys of the rows that blue changed last, and where in blue's log the engine was behind each.
#[derive(Default)]
pub(super) struct Recent {
    places: HashMap<Point, u64>,
    order: VecDeque<(Point, u64)>,
    /// Where each transaction of the engine ends in blue's log, from the one with `first` on.
    ends: VecDeque<Coordinates>,
    first: u64,
}

impl Recent {
    /// Rows of the transaction of which [`end`](Self::end) tells the place.
    pub(super) fn add(&mut self, point: Point) {
        let number = self.first + self.ends.len() as u64;
        self.places.insert(point, number);
        self.order.push_back((point, number));
        if self.order.len() > MAX_RECENT
            && let Some((oldest, number)) = self.order.pop_front()
        {
            if self.places.get(&oldest) == Some(&number) {
                self.places.remove(&oldest);
            }
            while self.first < number && self.ends.pop_front().is_some() {
                self.first += 1;
            }
        }
    }

    pub(super) fn end(&mut self, blue: Coordinates) {
        // A transaction without rows needs no place.
        if self.order.back().is_some_and(|(_, number)| *number == self.first + self.ends.len() as u64) {
            self.ends.push_back(blue);
        }
    }

    /// How a write with these points met blue's last change of such a row, if it is among the last, and where that ends.
    pub(super) fn find(&self, points: &[Point]) -> Option<(&'static str, &Coordinates)> {
        let place = |point: &Point| Some((point.key.met(), *self.places.get(&point.counterpart())?));
        let (how, number) = points.iter().find_map(place)?;
        Some((how, self.ends.get(usize::try_from(number.checked_sub(self.first)?).ok()?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(hash: u64) -> Point {
        Point { hash, key: KeyKind::Row }
    }

    fn unique(hash: u64) -> Point {
        Point { hash, key: KeyKind::Unique }
    }

    #[test]
    fn a_write_is_met_in_any_of_its_keys_until_it_is_removed() {
        let mut open = Open::default();
        open.add(1, &[row(10), unique(20)]);
        open.add(2, &[row(10)]);
        open.add(3, &[row(11), unique(21)]);
        assert!(open.meet(&[unique(10), row(99)]).is_empty(), "another kind of key");
        let met = open.meet(&[row(10), unique(21)]);
        let told: Vec<(&str, Vec<u64>)> = met.into_iter().map(|met| (met.how, met.ids)).collect();
        assert_eq!(told, [("row", vec![1, 2]), ("unique_value", vec![3])]);
        (1..=3).for_each(|id| open.remove(id));
        assert!(open.is_empty() && open.points.is_empty());
        assert!(open.meet(&[row(10), unique(20)]).is_empty());
    }

    #[test]
    fn a_value_that_is_taken_away_meets_a_row_that_refers_to_it_and_nothing_else() {
        let (parent, child) = (Point { hash: 7, key: KeyKind::Parent }, Point { hash: 7, key: KeyKind::Child });
        let mut open = Open::default();
        open.add(1, &[row(10), parent]);
        open.add(2, &[row(11), child]);
        let told = |points: &[Point]| -> Vec<(&str, Vec<u64>)> {
            open.meet(points).into_iter().map(|met| (met.how, met.ids)).collect()
        };
        assert_eq!(told(&[row(12), child]), [("foreign_key", vec![1])]);
        assert_eq!(told(&[row(12), parent]), [("foreign_key", vec![2])]);
        assert_eq!(told(&[row(10), child]), [("row", vec![1])]);
        assert!(told(&[row(7)]).is_empty());
        let mut recent = Recent::default();
        recent.add(child);
        recent.end(Coordinates::new("b.000001", 10));
        assert_eq!(recent.find(&[parent]).map(|(how, _)| how), Some("foreign_key"));
        assert_eq!(recent.find(&[child]), None);
    }

    #[test]
    fn only_the_last_rows_are_remembered_each_with_its_last_place() {
        let at = |offset| Coordinates::new("b.000001", offset);
        let mut recent = Recent::default();
        recent.add(row(1));
        recent.add(row(2));
        recent.end(at(10));
        recent.end(at(15));
        recent.add(row(1));
        assert_eq!(recent.find(&[row(1)]), None, "its transaction has not ended");
        recent.end(at(20));
        let is = |offset| Some(("row", at(offset)));
        let find = |recent: &Recent, hash| recent.find(&[row(hash)]).map(|(how, at)| (how, at.clone()));
        assert_eq!((find(&recent, 1), find(&recent, 2)), (is(20), is(10)));
        for hash in 0..MAX_RECENT as u64 - 1 {
            recent.add(row(1_000 + hash));
        }
        recent.end(at(30));
        assert_eq!((find(&recent, 1), find(&recent, 2)), (is(20), None));
        recent.add(row(5));
        recent.end(at(40));
        assert_eq!((find(&recent, 1), find(&recent, 5)), (None, is(40)));
        assert!(recent.ends.len() <= 3);
    }
}
