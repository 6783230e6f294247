//! The Kolmogorov–Smirnov distance between two samples that change by one value at a time.
//!
//! Distinct values are the nodes of a treap. A node has the weight "how many of the first sample minus how many of the
//! second", and each subtree knows its sum of weights and the lowest and the highest sum over its prefixes. With two samples
//! of equal size r the largest |prefix sum| of the whole is r·D, ties included, because equal values share a node. A change
//! touches one path: O(log r) expected, no allocation (after dos Reis, Flach, Matwin, Batista, *Fast unsupervised online drift
//! detection using incremental Kolmogorov–Smirnov test*, KDD 2016, whose treap pushes sums down instead of up).

use super::kswin::mix;

const NIL: usize = usize::MAX;

/// A multiset of weighted values with a fixed capacity.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    root: usize,
    /// The first unused node; unused ones are chained by `left`.
    free: usize,
    random: u64,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    value: f64,
    priority: u64,
    left: usize,
    right: usize,
    /// How many items have this value.
    items: u32,
    /// Of the node, and of its subtree.
    weight: i32,
    sum: i32,
    /// Extremes over the prefixes of the subtree, the empty one included.
    lowest: i32,
    highest: i32,
}

impl Tree {
    /// Room for `capacity` items at a time.
    pub(super) fn new(capacity: usize) -> Self {
        let node = Node {
            value: 0.0,
            priority: 0,
            left: NIL,
            right: NIL,
            items: 0,
            weight: 0,
            sum: 0,
            lowest: 0,
            highest: 0,
        };
        let mut tree = Self { nodes: vec![node; capacity], root: NIL, free: NIL, random: 0 };
        tree.clear();
        tree
    }

    pub(super) fn clear(&mut self) {
        let last = self.nodes.len().saturating_sub(1);
        for (i, node) in self.nodes.iter_mut().enumerate() {
            node.left = if i == last { NIL } else { i + 1 };
        }
        self.root = NIL;
        self.free = if self.nodes.is_empty() { NIL } else { 0 };
    }

    /// The largest absolute sum over all prefixes in order of value.
    pub(super) fn distance(&self) -> u32 {
        self.nodes
            .get(self.root)
            .map_or(0, |root| root.highest.unsigned_abs().max(root.lowest.unsigned_abs()))
    }

    /// One item more of a value.
    pub(super) fn insert(&mut self, value: f64, weight: i32) {
        self.root = self.change(self.root, value, weight, 1);
    }

    /// One item less of a value that is there.
    pub(super) fn remove(&mut self, value: f64, weight: i32) {
        self.root = self.change(self.root, value, -weight, -1);
    }

    /// Another weight for an item of a value that is there.
    pub(super) fn reweigh(&mut self, value: f64, by: i32) {
        self.root = self.change(self.root, value, by, 0);
    }

    /// The root of the subtree at `at` after the change.
    fn change(&mut self, at: usize, value: f64, weight: i32, items: i32) -> usize {
        if at == NIL {
            return if items > 0 { self.leaf(value, weight) } else { NIL };
        }
        let node = self.nodes[at];
        if value < node.value {
            let left = self.change(node.left, value, weight, items);
            self.nodes[at].left = left;
            if left != NIL && self.nodes[left].priority > node.priority {
                self.nodes[at].left = self.nodes[left].right;
                self.nodes[left].right = at;
                self.pull(at);
                return self.pull(left);
            }
        } else if value > node.value {
            let right = self.change(node.right, value, weight, items);
            self.nodes[at].right = right;
            if right != NIL && self.nodes[right].priority > node.priority {
                self.nodes[at].right = self.nodes[right].left;
                self.nodes[right].left = at;
                self.pull(at);
                return self.pull(right);
            }
        } else {
            let left = node.items.saturating_add_signed(items);
            if left == 0 {
                self.nodes[at].left = self.free;
                self.free = at;
                return self.join(node.left, node.right);
            }
            self.nodes[at].items = left;
            self.nodes[at].weight += weight;
        }
        self.pull(at)
    }

    /// A new node; NIL where there is no room, which the capacity rules out.
    fn leaf(&mut self, value: f64, weight: i32) -> usize {
        let at = self.free;
        if at == NIL {
            return NIL;
        }
        self.free = self.nodes[at].left;
        let priority = mix(&mut self.random);
        self.nodes[at] = Node {
            value,
            priority,
            left: NIL,
            right: NIL,
            items: 1,
            weight,
            sum: weight,
            lowest: weight.min(0),
            highest: weight.max(0),
        };
        at
    }

    /// One subtree of two, all values of the first below all of the second.
    fn join(&mut self, left: usize, right: usize) -> usize {
        if left == NIL {
            return right;
        }
        if right == NIL {
            return left;
        }
        if self.nodes[left].priority > self.nodes[right].priority {
            self.nodes[left].right = self.join(self.nodes[left].right, right);
            self.pull(left)
        } else {
            self.nodes[right].left = self.join(left, self.nodes[right].left);
            self.pull(right)
        }
    }

    /// Sums of a node from those of its children.
    #[inline]
    fn pull(&mut self, at: usize) -> usize {
        let of = |child: usize| self.nodes.get(child).map_or((0, 0, 0), |n| (n.sum, n.lowest, n.highest));
        let node = self.nodes[at];
        let ((left, left_low, left_high), (right, right_low, right_high)) = (of(node.left), of(node.right));
        let here = left + node.weight;
        let node = &mut self.nodes[at];
        node.sum = here + right;
        node.lowest = left_low.min(here + right_low);
        node.highest = left_high.max(here + right_high);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// max |prefix sum| at the ends of blocks of equal values.
    fn brute(items: &[(f64, i32)]) -> u32 {
        let mut sorted = items.to_vec();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut sum, mut best) = (0_i32, 0);
        for (i, (value, weight)) in sorted.iter().enumerate() {
            sum += weight;
            if sorted.get(i + 1).is_none_or(|next| next.0 > *value) {
                best = best.max(sum.unsigned_abs());
            }
        }
        best
    }

    #[test]
    fn the_distance_is_that_of_a_sort_after_every_change() {
        for levels in [3, 17, 1 << 40] {
            let (mut tree, mut items, mut random) = (Tree::new(64), Vec::new(), 5_u64);
            for _ in 0..3000 {
                let draw = mix(&mut random);
                if items.len() == 64 || (draw >> 60 < 6 && !items.is_empty()) {
                    let (value, weight) =
                        items.swap_remove(usize::try_from(draw % items.len() as u64).unwrap());
                    tree.remove(value, weight);
                } else {
                    let item = ((mix(&mut random) % levels) as f64, if draw >> 59 & 1 == 0 { 1 } else { -1 });
                    tree.insert(item.0, item.1);
                    items.push(item);
                }
                assert_eq!(tree.distance(), brute(&items));
            }
        }
    }
}
