#include <catch2/catch.hpp>

#include "test/simulation/storage_scenarios.hpp"

namespace weir::test {
namespace {

std::vector<std::string> complete_checkpoints(Host& host) {
  const auto found = scan_job(host.storage(), SmallJob::root, SmallJob::id);
  REQUIRE(found);
  std::vector<std::string> paths;
  for (const FoundSnapshot& one : *found)
    if (one.kind == FoundSnapshot::Kind::complete) paths.push_back(one.path);
  return paths;
}

/// Writes and takes checkpoints until one fails; restarts what only a restart helps. Returns the errors.
std::vector<std::string> run_while_full(Host& host, int checkpoints) {
  std::vector<std::string> errors;
  bool running = true;
  for (int i = 0; i < checkpoints; ++i) {
    const auto before = complete_checkpoints(host);
    Status status = running ? host.job().write(3) : host.job().start();
    running = running || status.has_value();
    if (status) status = host.job().checkpoint();
    if (status) continue;
    errors.push_back(status.error().what);
    // No old checkpoint was given up for one that did not fit.
    CHECK(complete_checkpoints(host) == before);
    if (running && !host.job().is_broken()) continue;
    host.begin_process();
    running = host.job().start().has_value();
  }
  return errors;
}

TEST_CASE("a full disk costs checkpoints, and nothing else", "[simulation]") {
  // From room for hardly anything beside the first checkpoint to room for almost one more.
  for (std::uint64_t room = 100, i = 0; room < 130'000; room = room * 5 / 4, ++i) {
    Host host(DiskImage(), {}, {}, 0);
    host.ledger.incremental = i % 2 == 1;
    CAPTURE(room, host.ledger.incremental);
    REQUIRE(host.job().start());
    REQUIRE(host.job().write(3));
    REQUIRE(host.job().checkpoint());
    host.disk->limit_bytes(host.disk->image().used_bytes({}) + room);
    const auto errors = run_while_full(host, 6);
    CHECK_FALSE(errors.empty());  // three checkpoints, while the oldest is still there, do not fit
    for (const auto& what : errors) {
      CHECK_THAT(what, Catch::Contains("No space left on device"));
      CHECK_THAT(what, Catch::Contains("/"));
    }
    const auto kept = complete_checkpoints(host);
    REQUIRE_FALSE(kept.empty());
    for (const auto& directory : kept) CHECK(verify_snapshot(host.storage(), directory));

    host.disk->limit_bytes(std::nullopt);
    if (host.job().is_broken() || host.job().records() == 0) {
      host.begin_process();
      REQUIRE(host.job().start());
    }
    const std::uint64_t completed = host.ledger.completed;
    REQUIRE(host.job().write(2));
    REQUIRE(host.job().checkpoint());  // the very next one
    CHECK(host.ledger.completed > completed);
    CHECK(committed_lines(host.disk->contents()) == numbers_below(host.job().records()));
    host.disk->lose_unsynced();
    host.begin_process();
    CHECK(recover_and_go_on(host) == "");
  }
}

}  // namespace
}  // namespace weir::test
