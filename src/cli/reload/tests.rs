use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn rules(name: &str, body: &str) -> String {
    format!("apiVersion: portcullis.dev/v1alpha1\nkind: RuleSet\nmetadata: {{name: {name}}}\nspec:\n{body}")
}

fn good(name: &str) -> String {
    rules(name, "  rules: [{rule: allow-all-egress, level: deny}]\n")
}

fn start(path: &Path) -> Keeper {
    Keeper::start(Some(path.to_owned()), Arc::new(Metrics::new()), NOW).expect("a good rule set")
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time")
}

fn name(keeper: &Keeper) -> String {
    keeper.bound.load().rule_set.name.clone()
}

fn has(keeper: &Keeper, line: &str) -> bool {
    keeper.metrics.render().lines().any(|found| found == line)
}

#[test]
fn a_change_of_content_is_taken_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("rules.yaml");
    fs::write(&file, good("one")).expect("written");
    let keeper = start(&file);
    assert_eq!(keeper.look(later(1)), Look::Same);
    // The same bytes anew are no change.
    fs::write(&file, good("one")).expect("written");
    assert_eq!(keeper.look(later(2)), Look::Same);
    let before = keeper.bound.load_full().hash.clone();
    fs::write(&file, good("two")).expect("written");
    assert_eq!(keeper.look(later(3)), Look::Reloaded);
    assert_eq!(name(&keeper), "two");
    let view = keeper.view();
    assert_ne!(view["hash"], before);
    assert_eq!(view["ruleSet"]["name"], "two");
    assert_eq!(view["lastReload"], "1970-01-01T00:00:03Z");
    assert_eq!(view["source"], file.display().to_string());
    let hash = view["hash"].as_str().expect("a hash");
    assert!(has(&keeper, &format!("portcullis_config_info{{hash=\"{hash}\"}} 1")));
    assert!(!keeper.metrics.render().contains(&before), "the old hash is gone");
    assert!(has(&keeper, "portcullis_config_reloads_total{result=\"success\"} 1"));
    assert!(has(&keeper, "portcullis_config_last_reload_success_timestamp_seconds 3"));
}

#[test]
fn the_last_good_one_stays_and_every_problem_is_told_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("rules.yaml");
    fs::write(&file, good("good")).expect("written");
    let keeper = start(&file);
    let bad = rules("bad", "  maxLevl: warn\n  rules: [{rule: allow-all-egres, level: deny}]\n");
    fs::write(&file, bad).expect("written");
    assert_eq!(keeper.look(later(1)), Look::Refused);
    // What has been refused is not tried again until it changes.
    assert_eq!(keeper.look(later(2)), Look::Same);
    let view = keeper.view();
    assert_eq!(
        (view["ruleSet"]["name"].as_str(), view["lastReload"].as_str()),
        (Some("good"), Some("1970-01-01T00:00:00Z"))
    );
    let error = view["lastError"].as_str().expect("an error");
    assert_eq!(error.lines().count(), 2, "{error}");
    assert!(error.contains(":5:3: error: unknown field `maxLevl`; did you mean `maxLevel`?"), "{error}");
    assert!(error.contains(":6:12: error: there is no rule `allow-all-egres`"), "{error}");
    assert!(has(&keeper, "portcullis_config_reloads_total{result=\"failure\"} 1"));

    fs::remove_file(&file).expect("removed");
    assert_eq!(keeper.look(later(3)), Look::Refused);
    assert_eq!(name(&keeper), "good");

    // The very content that is in force comes back: the error is over.
    fs::write(&file, good("good")).expect("written");
    assert_eq!(keeper.look(later(4)), Look::Reloaded);
    assert!(keeper.view()["lastError"].is_null());
    assert_eq!(keeper.look(later(5)), Look::Same);
}

/// As the kubelet updates a mounted ConfigMap: a new folder, and one link renamed over another.
#[test]
fn a_swap_of_links_is_seen() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |folder: &str, name: &str| {
        fs::create_dir(dir.path().join(folder)).expect("made");
        fs::write(dir.path().join(folder).join("rules.yaml"), good(name)).expect("written");
    };
    write("..2026_01", "one");
    symlink("..2026_01", dir.path().join("..data")).expect("linked");
    symlink("..data/rules.yaml", dir.path().join("rules.yaml")).expect("linked");
    let (by_folder, by_file) = (start(dir.path()), start(&dir.path().join("rules.yaml")));
    assert_eq!(name(&by_folder), "one");

    write("..2026_02", "two");
    symlink("..2026_02", dir.path().join("..data_tmp")).expect("linked");
    fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).expect("swapped");
    fs::remove_dir_all(dir.path().join("..2026_01")).expect("removed");
    for keeper in [by_folder, by_file] {
        assert_eq!(keeper.look(later(1)), Look::Reloaded);
        assert_eq!(name(&keeper), "two");
    }
}

#[test]
fn files_that_come_and_go_are_changes() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("a.yaml"), good("a")).expect("written");
    let keeper = start(dir.path());
    let more = rules("b", "  maxLevel: warn\n");
    fs::write(dir.path().join("b.yaml"), more).expect("written");
    assert_eq!(keeper.look(later(1)), Look::Reloaded);
    assert_eq!(keeper.bound.load().rule_set.max_level.as_str(), "warn");
    fs::remove_file(dir.path().join("b.yaml")).expect("removed");
    assert_eq!(keeper.look(later(2)), Look::Reloaded);
    assert_eq!(keeper.bound.load().rule_set.max_level.as_str(), "deny");
}

#[test]
fn a_bad_file_does_not_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("rules.yaml");
    fs::write(&file, rules("bad", "  ratchet: 1\n  contact: ''\n")).expect("written");
    let started = Keeper::start(Some(file), Arc::new(Metrics::new()), NOW).err().unwrap_or_default();
    assert_eq!(started.lines().count(), 3, "{started}");
}

#[tokio::test]
async fn it_is_looked_at_by_itself() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("rules.yaml");
    fs::write(&file, good("one")).expect("written");
    let keeper = Arc::new(start(&file));
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let tell = move |bound: &Bound| listener.lock().expect("whole").push(bound.rule_set.name.clone());
    let kept = tokio::spawn(Arc::clone(&keeper).keep(Duration::from_millis(10), || NOW, tell));
    fs::write(&file, good("two")).expect("written");
    for _ in 0..500 {
        if !told.lock().expect("whole").is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(name(&keeper), "two");
    assert_eq!(*told.lock().expect("whole"), ["two"]);
    kept.abort();
}
