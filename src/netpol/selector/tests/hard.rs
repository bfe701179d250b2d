//! The search for an uncovered label set: hard questions of the promised size, and hostile ones of any.

use super::super::cover::Effort;
use super::super::search::MAX_WORK;
use super::covers::{everything, one};
use super::*;

/// A requirement on the numbered key with numbered values.
fn numbered(key: usize, operator: Operator, values: impl IntoIterator<Item = usize>) -> Requirement {
    Requirement::new(format!("k{key}"), operator, values.into_iter().map(|value| format!("v{value}")))
}

/// A small generator (xorshift64), so that each seed is the same question everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 33) % bound as u64).unwrap()
    }
}

/// The classes of six keys: absent, `v0` to `v3`, another value.
const CLASSES: usize = 6;

/// Whether selectors over six keys of four values cover everything: a mask of the selectors each class of each key
/// lets pass, and the AND of one mask a key for all 6^6 label sets. Nothing is pruned, so nothing is pruned wrongly.
fn brute_force(covers: &[Selector]) -> bool {
    assert!(covers.len() <= 128);
    let mut passes = [[0u128; CLASSES]; 6];
    for (key, classes) in passes.iter_mut().enumerate() {
        for (class, mask) in classes.iter_mut().enumerate() {
            let value = match class {
                0 => None,
                5 => Some("unnamed".to_owned()),
                _ => Some(format!("v{}", class - 1)),
            };
            let name = format!("k{key}");
            let set: Labels = value.map(|value| (name.clone(), value)).into_iter().collect();
            for (index, cover) in covers.iter().enumerate() {
                let parts = cover.requirements().iter().filter(|part| part.key == name);
                *mask |= u128::from(parts.into_iter().all(|part| part.matches(&set))) << index;
            }
        }
    }
    (0..CLASSES.pow(6)).all(|mut number| {
        let mut open = u128::MAX >> (128 - covers.len());
        for classes in &passes {
            open &= classes[number % CLASSES];
            number /= CLASSES;
        }
        open != 0
    })
}

fn random_selector(random: &mut Random, width: usize, values: usize) -> Selector {
    let mut keys: Vec<usize> = (0..6).collect();
    let requirements = (0..width).map(|_| {
        let key = keys.swap_remove(random.below(keys.len()));
        let operator = [In, NotIn, NotIn, NotIn, Exists, DoesNotExist][random.below(6)];
        let values: Vec<usize> = (0..=random.below(values)).map(|_| random.below(4)).collect();
        numbered(key, operator, values)
    });
    Selector::new(requirements.collect())
}

/// Selectors that divide all label sets among them, hard to see through: a box is split at random until there are
/// `count` of them, and each split's seam runs elsewhere.
fn partition(random: &mut Random, count: usize) -> Vec<Selector> {
    let mut boxes: Vec<Vec<Requirement>> = vec![Vec::new()];
    while boxes.len() < count {
        let parent = boxes.swap_remove(random.below(boxes.len()));
        let key = random.below(6);
        let values: Vec<usize> = (0..=random.below(3)).map(|_| random.below(4)).collect();
        let [yes, no] = if random.below(3) == 0 { [Exists, DoesNotExist] } else { [In, NotIn] };
        for operator in [yes, no] {
            let part = numbered(key, operator, values.iter().copied());
            let child = Selector::new(parent.iter().cloned().chain([part]).collect());
            if !child.is_contradiction() {
                boxes.push(child.requirements().to_vec());
            }
        }
    }
    boxes.into_iter().map(Selector::new).collect()
}

/// The promise: 64 selectors over 6 keys of 4 values are decided, and right.
#[track_caller]
fn decided(covers: &[Selector]) -> (bool, Effort) {
    let (cover, effort) = everything(covers);
    let covered = match cover {
        Cover::Covered => true,
        Cover::Uncovered(witness) => {
            assert!(!covers.iter().any(|cover| cover.matches(&witness)), "{witness:?} is covered");
            false
        }
        Cover::Unknown => panic!("undecided: {effort:?}"),
    };
    (covered, effort)
}

#[test]
fn random_questions_of_the_promised_size_are_decided() {
    let (mut seen, mut total) = ([0; 2], 0);
    for seed in 0..120 {
        let mut random = Random::new(seed);
        // Widths and sizes about the point where half of the questions are covered: the hardest.
        let (width, values) = [(3, 4), (4, 1), (4, 2), (5, 1)][usize::try_from(seed).unwrap() % 4];
        let covers: Vec<Selector> = (0..64).map(|_| random_selector(&mut random, width, values)).collect();
        let (covered, effort) = decided(&covers);
        assert_eq!(covered, brute_force(&covers), "seed {seed}");
        total += effort.nodes;
        seen[usize::from(covered)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 20), "one-sided questions: {seen:?}");
    // What it takes with every shortcut of the search in place, and a little more.
    assert!(total < 25_000, "{total} nodes");
}

#[test]
fn partitions_of_the_promised_size_are_decided() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut covers = partition(&mut random, 64);
        assert!(decided(&covers).0, "seed {seed}");
        let missing = covers.swap_remove(random.below(covers.len()));
        match everything(&covers).0 {
            Cover::Uncovered(witness) => assert!(missing.matches(&witness), "seed {seed}"),
            answer => panic!("seed {seed}: {answer:?} without {missing}"),
        }
    }
}

/// As large as three hundred rows, which is what the bound on the work promises.
#[test]
fn three_hundred_selectors_over_six_keys_are_decided() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let covers: Vec<Selector> = (0..300).map(|_| random_selector(&mut random, 6, 2)).collect();
        let (_, effort) = decided(&covers);
        assert!(effort.work < MAX_WORK);
    }
}

#[test]
fn a_chain_of_keys_is_remembered_not_searched_again() {
    // Each key exists if the one before it does, all around: all or none of them exist.
    let ring = 60;
    let mut covers: Vec<Selector> = (0..ring)
        .map(|key| Selector::new(vec![numbered(key, Exists, []), numbered((key + 1) % ring, DoesNotExist, [])]))
        .collect();
    covers.push(one("k7", DoesNotExist, &[]));
    covers.push(one("k40", Exists, &[]));
    let (cover, effort) = everything(&covers);
    assert_eq!(cover, Cover::Covered);
    assert!(effort.nodes <= ring * 2, "{effort:?}");
}

/// Two questions with no key in common: the first, asked first, has 2^12 answers, the second has none.
#[test]
fn unrelated_keys_do_not_multiply() {
    let pairs = (0..12).flat_map(|pair| {
        [Exists, DoesNotExist]
            .map(|operator| Selector::new(vec![numbered(2 * pair, operator, []), numbered(2 * pair + 1, operator, [])]))
    });
    let covers: Vec<Selector> = pairs.chain(every_combination(100, 4)).collect();
    let (cover, effort) = everything(&covers);
    assert_eq!(cover, Cover::Covered);
    assert!(effort.nodes < 100, "{effort:?}");
}

/// Each way in which so many keys may exist or not, as a selector of its own.
fn every_combination(first: usize, keys: usize) -> Vec<Selector> {
    let operator = |bits: usize, key: usize| if bits >> key & 1 == 1 { Exists } else { DoesNotExist };
    let selector = |bits| (0..keys).map(|key| numbered(first + key, operator(bits, key), [])).collect();
    (0..1 << keys).map(|bits| Selector::new(selector(bits))).collect()
}

#[test]
fn the_last_key_is_decided_without_visits() {
    let (cover, effort) = everything(&every_combination(0, 6));
    assert_eq!((cover, effort.nodes), (Cover::Covered, 63));
}

#[test]
fn plain_selectors_are_settled_without_a_search() {
    // One policy an application, five thousand of them, and a default deny for what has no application.
    let mut covers: Vec<Selector> = (0..5000).map(|app| Selector::labels([("app", format!("app-{app}"))])).collect();
    covers.push(one("app", DoesNotExist, &[]));
    let (cover, effort) = everything(&covers);
    assert_eq!(cover, Cover::Uncovered(labels(&[("app", "other")])));
    assert_eq!(effort.nodes, 1);
}

/// Everything a tenant could think of: an answer or `Unknown`, and never more than the budgets.
#[test]
fn hostile_questions_end() {
    let mut random = Random::new(7);
    let pigeons = |pigeons: usize, holes: usize| -> Vec<Selector> {
        let homeless = (0..pigeons).map(|one| Selector::new(vec![numbered(one, NotIn, 0..holes)]));
        let pairs = (0..pigeons).flat_map(|one| (0..one).map(move |two| (one, two)));
        let crowded = pairs.flat_map(|(one, two)| {
            (0..holes).map(move |hole| Selector::new(vec![numbered(one, In, [hole]), numbered(two, In, [hole])]))
        });
        homeless.chain(crowded).collect()
    };
    let mut wide = |keys: usize, count: usize| -> Vec<Selector> {
        let mut selector = || {
            let operators = [Exists, DoesNotExist, NotIn];
            let parts = (0..3).map(|_| numbered(random.below(keys), operators[random.below(3)], [random.below(4)]));
            Selector::new(parts.collect())
        };
        (0..count).map(|_| selector()).collect()
    };
    let many_values = |count: usize, values: usize| -> Vec<Selector> {
        let part = |key: usize, from: usize| numbered(key % 6, NotIn, (0..values).map(|value| from + value * 11));
        (0..count).map(|index| Selector::new(vec![part(index, index * 7), part(index + 1, index * 5)])).collect()
    };
    let questions = [
        ("pigeonholes", pigeons(12, 11)),
        ("many keys", wide(60, 600)),
        ("many selectors", wide(300, 4000)),
        ("many values", many_values(1000, 40)),
        ("more values than are read", many_values(60, 2000)),
    ];
    for (name, covers) in questions {
        let (cover, effort) = everything(&covers);
        assert!(effort.nodes <= MAX_NODES && effort.work <= MAX_WORK, "{name}: {effort:?}");
        // Of the pigeonholes it is known that no search of this kind can decide them.
        assert!(name != "pigeonholes" || cover == Cover::Unknown, "{name}: {cover:?}");
        if let Cover::Uncovered(witness) = &cover {
            assert!(!covers.iter().any(|cover| cover.matches(witness)), "{name}: {witness:?} is covered");
        }
    }
    // What is not even read whole says so, and took no search.
    let unread: Vec<Selector> = many_values(60, 2000).into_iter().chain([one("k0", DoesNotExist, &[])]).collect();
    assert_eq!(everything(&unread), (Cover::Unknown, Effort::default()));
    // The objects without labels are asked about before all this is read.
    let required = unread.iter().map(|cover| [cover.requirements(), &[req("app", Exists, &[])]].concat());
    let required: Vec<Selector> = required.map(Selector::new).collect();
    assert_eq!(everything(&required).0, Cover::Uncovered(Labels::new()));
}

/// Ten thousand keys are ten thousand levels: on the heap, not on the thread's stack.
#[test]
fn depth_is_no_recursion() {
    let ring = 3000;
    let mut covers: Vec<Selector> = (0..ring)
        .map(|key| Selector::new(vec![numbered(key, Exists, []), numbered((key + 1) % ring, DoesNotExist, [])]))
        .collect();
    covers.push(one("k7", DoesNotExist, &[]));
    let thread = std::thread::Builder::new().stack_size(128 * 1024).spawn(move || everything(&covers).0);
    assert!(matches!(thread.unwrap().join().unwrap(), Cover::Uncovered(_) | Cover::Unknown));
}

#[test]
fn a_policy_for_everything_covers_beside_hostile_ones() {
    let hostile: Vec<Selector> = (0..200).map(|_| Selector::new(vec![numbered(0, NotIn, 0..2000)])).collect();
    let mut covers: Vec<&Selector> = hostile.iter().collect();
    let all = Selector::everything();
    covers.push(&all);
    assert_eq!(union_covers_everything(&covers), Cover::Covered);
}

#[test]
fn an_answer_does_not_depend_on_the_order() {
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let mut covers: Vec<Selector> = (0..40).map(|_| random_selector(&mut random, 4, 2)).collect();
        let answer = matches!(everything(&covers).0, Cover::Covered);
        covers.reverse();
        assert_eq!(matches!(everything(&covers).0, Cover::Covered), answer, "seed {seed}");
        assert_eq!(everything(&covers), everything(&covers), "the same question has the same answer");
    }
}
