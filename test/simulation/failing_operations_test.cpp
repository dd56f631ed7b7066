#include <iostream>

#include <catch2/catch.hpp>

#include "test/sanitized.hpp"
#include "test/simulation/faulty_code.hpp"
#include "test/simulation/storage_scenarios.hpp"

namespace weir::test {
namespace {

/// How often a scenario may be repeated with the fault one operation later.
constexpr std::size_t operations_max = 1000;

struct Found {
  std::size_t runs = 0;
  std::vector<std::string> wrong;
  [[nodiscard]] std::string first() const { return wrong.empty() ? "" : wrong.front(); }
};

std::string describe(const InjectedFault& fault) {
  std::string text(to_string(fault.fault));
  text += fault.times == InjectedFault::always ? " from operation "
          : fault.times == 1                   ? " at operation "
                                               : " twice from operation ";
  text += std::to_string(fault.at);
  if (fault.only) text += " of kind " + std::string(to_string(*fault.only));
  return text;
}

/// Whether an error is fit for the user: one sentence that says where and what.
bool is_named(const Error& failure) {
  return failure.what.find('/') != std::string::npos &&
         failure.what.find(": ") != std::string::npos;
}

/// Runs `scenario` with `fault`. Returns false if the fault was not met any more.
bool try_fault(const StorageScenario& scenario, const InjectedFault& fault, const Host::Code& code,
               Found& found) {
  ++found.runs;
  const std::string where = scenario.name + ", " + describe(fault) + ": ";
  const auto complain = [&](const std::string& what) { found.wrong.push_back(where + what); };
  Host host(DiskImage(), {}, code, 0);
  REQUIRE(scenario.before(host.job()));
  host.disk->inject(fault);
  const Status status = scenario.run(host.job());
  const bool met = host.disk->faults_met() > 0;
  host.disk->heal();
  if (!status && !is_named(status.error())) complain("no named error: " + status.error().what);
  if (!met && !status) complain("fails without a fault: " + status.error().what);
  // A job that is not broken goes on by itself, and whatever it was, the next process does.
  if (!status && !host.job().is_broken() && host.ledger.completed > 0) {
    const Status next = host.job().checkpoint();
    if (!next) complain("the next checkpoint fails as well: " + next.error().what);
  }
  const DiskImage image = host.disk->image();
  const Ledger ledger = host.ledger;
  if (const auto left_open = host.begin_process(); !left_open.empty())
    complain(left_open.front() + " is still open");
  if (const auto wrong = recover_and_go_on(host); !wrong.empty()) complain("killed: " + wrong);
  CountedRandom random(fault.at);
  for (int draw = 0; draw < 5; ++draw) {
    Host crashed(draw == 0 ? image.without_unsynced() : image.after_crash(random), ledger, code,
                 30);
    if (const auto wrong = recover_and_go_on(crashed); !wrong.empty())
      complain("crashed: " + wrong);
  }
  return met;
}

/// Every operation of `scenario`, or one in `stride`, fails in every way.
Found try_all_faults(const StorageScenario& scenario, const Host::Code& code,
                     std::size_t stride = 1) {
  Found found;
  const auto try_every_n = [&](InjectedFault fault) {
    for (fault.at = 1; try_fault(scenario, fault, code, found); fault.at += stride)
      REQUIRE(fault.at < operations_max);
  };
  using enum Fault;
  for (const Fault fault :
       {no_space, io_error, interrupted, short_write, reported_failed, half_renamed}) {
    for (const std::size_t times : {std::size_t{1}, InjectedFault::always})
      try_every_n({fault, 1, times});
  }
  // A publication whose directory cannot be synced, and then not after the removal either.
  try_every_n({io_error, 1, 2, FileOperation::sync_directory});
  return found;
}

bool is_caught(const Host::Code& code) {
  return std::ranges::any_of(storage_scenarios(), [&](const auto& scenario) {
    return !try_all_faults(scenario, code).wrong.empty();
  });
}

TEST_CASE(
    "whichever operation fails, the last good snapshot restores and nothing trips over the rest",
    "[simulation]") {
  for (const auto& scenario : storage_scenarios()) {
    const Found found = try_all_faults(scenario, {}, sanitized ? 7 : 1);
    std::cout << scenario.name << ": " << found.runs << " runs\n";
    INFO(found.wrong.size() << " are wrong; the first: " << found.first());
    CHECK(found.wrong.empty());
  }
}

TEST_CASE("whichever operation of a restore fails, the next restore succeeds", "[simulation]") {
  // Killed when the output of the checkpoint was not yet committed and files were half written.
  Host before(DiskImage(), {}, {}, 0);
  REQUIRE(before.job().start());
  REQUIRE(before.job().write(3));
  REQUIRE(before.job().checkpoint());
  REQUIRE(before.job().write(3));
  REQUIRE(before.job().take(SnapshotKind::checkpoint));
  REQUIRE(before.job().write(1));
  REQUIRE(before.storage().create_directories("/ckpt/" + to_string(SmallJob::id) + "/chk-3"));
  const DiskImage image = before.disk->image();

  using enum Fault;
  std::size_t runs = 0;
  for (const Fault fault :
       {no_space, io_error, interrupted, short_write, reported_failed, half_renamed}) {
    for (const std::size_t times : {std::size_t{1}, InjectedFault::always}) {
      bool met = true;
      for (std::size_t at = 1; met; ++at, ++runs) {
        CAPTURE(to_string(fault), times, at);
        Host host(image, before.ledger, {}, 10);
        host.disk->inject({fault, at, times});
        const Status status = host.job().start();
        met = host.disk->faults_met() > 0;
        host.disk->heal();
        if (status) {
          CHECK(what_is_wrong(host) == "");
        } else {
          CHECK(met);
          CHECK(is_named(status.error()));
          CHECK(status.error().code != Errc::corruption);
        }
        const DiskImage left = host.disk->image();
        CHECK(host.begin_process() == std::vector<std::string>{});
        CHECK(recover_and_go_on(host) == "");
        Host crashed(left.without_unsynced(), before.ledger, {}, 20);
        CHECK(recover_and_go_on(crashed) == "");
      }
    }
  }
  CHECK(runs > 200);
}

TEST_CASE("code that tries a failed sync again is caught", "[simulation]") {
  CHECK(is_caught(careless(Carelessness::retries_file_sync)));
}

TEST_CASE("a storage that takes what is not there for durably removed is caught", "[simulation]") {
  CHECK(is_caught(careless(Shortcut::forgets_when_missing)));
}

}  // namespace
}  // namespace weir::test
