#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <set>

#include <catch2/catch.hpp>

#include "test/sanitized.hpp"
#include "test/simulation/faulty_code.hpp"
#include "test/simulation/storage_scenarios.hpp"

namespace weir::test {
namespace {

/// Of each prefix; `WEIR_CRASH_DRAWS` in the environment asks for another number.
int draws_per_prefix() {
  const char* const given = std::getenv("WEIR_CRASH_DRAWS");
  return given == nullptr ? (sanitized ? 50 : 3000) : std::stoi(given);
}
/// A database takes long to open, and its snapshots are written by the same code as others.
constexpr int draws_per_database_draw = 3;
/// So few show that careless code is caught.
constexpr int draws_for_careless_code = 100;
/// So many have been met at least, or the search has lost its way.
constexpr std::size_t least_states = sanitized ? 1000 : 10'000;

/// The disk and what had been reported, after each operation of a scenario.
struct Prefix {
  DiskImage image;
  Ledger ledger;
  std::string last_operation;
};

struct Found {
  std::size_t prefixes = 0;
  std::size_t states = 0;  ///< that differ, of all that were drawn
  std::vector<std::string> wrong;
  [[nodiscard]] std::string first() const { return wrong.empty() ? "" : wrong.front(); }
};

bool changes_disk(FileOperation operation) {
  using enum FileOperation;
  return operation == create || operation == append || operation == sync || operation == rename ||
         operation == sync_directory || operation == make_directory || operation == remove ||
         operation == link || operation == lock;
}

/// Runs `scenario` without faults.
std::vector<Prefix> record(const StorageScenario& scenario, const Host::Code& code) {
  Host host(DiskImage(), {}, code, 0);
  REQUIRE(scenario.before(host.job()));
  std::vector<Prefix> prefixes{{host.disk->image(), host.ledger, "nothing"}};
  host.disk->observe([&](const FileEvent& event) {
    if (changes_disk(event.operation))
      prefixes.push_back({host.disk->image(), host.ledger, to_string(event)});
  });
  REQUIRE(scenario.run(host.job()));
  host.disk->observe(nullptr);
  prefixes.push_back({host.disk->image(), host.ledger, "its end"});
  return prefixes;
}

/// Crashes the machine at `at`, in up to `draws` ways, and recovers from every one that differs from
/// those before it.
void crash_at(const Prefix& at, const std::string& where, const Host::Code& code, int draws,
              std::uint64_t generation, Found& found) {
  std::set<std::uint64_t> seen;
  CountedRandom random(generation);
  for (int draw = 0; draw < draws; ++draw) {
    const DiskImage left = draw == 0 ? at.image.without_unsynced() : at.image.after_crash(random);
    if (!seen.insert(left.fingerprint()).second) continue;
    ++found.states;
    Host host(left, at.ledger, code, generation);
    const std::string wrong = recover_and_go_on(host);
    if (!wrong.empty())
      found.wrong.push_back(where + ", state " + std::to_string(draw) + ": " + wrong);
    if (at.image.is_certain()) return;
  }
}

/// The process is killed at `at` and another one goes on from what it sees there; then the machine
/// crashes as well.
void kill_at(const Prefix& at, const std::string& where, const Host::Code& code, Found& found) {
  Host host(at.image, at.ledger, code, 10);
  const Status started = host.job().start();
  const std::string wrong =
      started ? what_is_wrong(host) : "it does not start: " + started.error().what;
  if (!wrong.empty()) {
    found.wrong.push_back(where + ", killed: " + wrong);
    return;
  }
  // Its sink has committed because of the point that it was restored from.
  host.ledger.completed = std::max(host.ledger.completed, host.job().restored_from());
  crash_at({host.disk->image(), host.ledger, ""}, where + ", killed, started, crashed", code, 50,
           20, found);
  Host going_on(at.image, at.ledger, code, 10);
  if (const auto missed = recover_and_go_on(going_on); !missed.empty())
    found.wrong.push_back(where + ", killed: " + missed);
}

Found try_all_crashes(const StorageScenario& scenario, const Host::Code& code, int draws) {
  Found found;
  for (const Prefix& prefix : record(scenario, code)) {
    const std::string where = scenario.name + " after operation " +
                              std::to_string(found.prefixes++) + " (" + prefix.last_operation + ")";
    const int of_it = prefix.ledger.in_database ? draws / draws_per_database_draw : draws;
    crash_at(prefix, where, code, of_it, 10, found);
    kill_at(prefix, where, code, found);
  }
  return found;
}

/// Whether any crash of any scenario shows that `code` is wrong.
bool is_caught(const Host::Code& code) {
  for (const auto& scenario : storage_scenarios())
    if (!try_all_crashes(scenario, code, draws_for_careless_code).wrong.empty()) return true;
  return false;
}

TEST_CASE(
    "wherever the machine stops, the old or the new snapshot is there, and the output with it",
    "[simulation]") {
  std::size_t states = 0;
  for (const auto& scenario : storage_scenarios()) {
    const Found found = try_all_crashes(scenario, {}, draws_per_prefix());
    states += found.states;
    std::cout << scenario.name << ": " << found.prefixes << " prefixes, " << found.states
              << " different crash states\n";
    INFO(found.wrong.size() << " states are wrong; the first: " << found.first());
    CHECK(found.wrong.empty());
  }
  CHECK(states >= least_states);
}

// The search above is worth something only if it finds what is wrong.

TEST_CASE("code that does not sync files is caught", "[simulation]") {
  CHECK(is_caught(careless(Carelessness::no_file_sync)));
}
TEST_CASE("code that does not sync directories is caught", "[simulation]") {
  CHECK(is_caught(careless(Carelessness::no_directory_sync)));
}
TEST_CASE("a storage that renames before it syncs is caught", "[simulation]") {
  CHECK(is_caught(careless(Shortcut::renames_before_sync)));
}
TEST_CASE("a storage that takes what it sees for durable is caught", "[simulation]") {
  CHECK(is_caught(careless(Shortcut::forgets_the_living)));
}
TEST_CASE("a storage that takes an existing directory for a durable one is caught",
          "[simulation]") {
  CHECK(is_caught(careless(Shortcut::trusts_directories)));
}
TEST_CASE("a deletion that begins with the data files is caught", "[simulation]") {
  CHECK(is_caught(deleting_backwards()));
}
TEST_CASE("a deletion that takes what later checkpoints share is caught", "[simulation]") {
  CHECK(is_caught(sharing_nothing()));
}

TEST_CASE("the scenarios delete files that were shared, and leave others", "[simulation]") {
  const auto shared_files = [](Host& host) {
    std::set<std::string> files;
    for (const auto& [path, content] : host.disk->contents())
      if (path.contains("/shared/")) files.insert(path);
    return files;
  };
  std::size_t deleting = 0;
  for (const auto& scenario : storage_scenarios()) {
    Host host(DiskImage(), {}, {}, 0);
    REQUIRE(scenario.before(host.job()));
    const std::set<std::string> before = shared_files(host);
    REQUIRE(scenario.run(host.job()));
    const std::set<std::string> after = shared_files(host);
    const bool deletes = !std::ranges::includes(after, before);
    if (deletes) CHECK(after.size() > 1);
    deleting += deletes ? 1 : 0;
  }
  CHECK(deleting >= 2);
}

}  // namespace
}  // namespace weir::test
