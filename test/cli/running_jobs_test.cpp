#include "cli/running_jobs.hpp"

#include <catch2/catch.hpp>

namespace weir {
namespace {

using Catch::Matchers::Contains;

/// Two processes with three jobs.
ReachedProcesses reached() {
  ReachedProcesses result;
  result.processes.resize(2);
  result.processes[0].jobs = {{{0x0123456789abcdefU, 1}, "one"}, {{0x0123456700000000U, 2}, "two"}};
  result.processes[1].jobs = {{{0xfedcba9876543210U, 3}, "three"}};
  return result;
}

}  // namespace

TEST_CASE("a job is found by its id, or by how that begins", "[cli]") {
  const auto processes = reached();
  CHECK(find_job(processes, "fedcba98765432100000000000000003")->overview.name == "three");
  CHECK(find_job(processes, "fedcba")->overview.name == "three");
  CHECK(find_job(processes, "012345678")->overview.name == "one");
}

TEST_CASE("a job that is not there, or not told apart, is refused", "[cli]") {
  const auto processes = reached();
  const auto missing = find_job(processes, "00000000000000000000000000000001");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == Errc::not_found);
  CHECK_THAT(missing.error().what, Contains("weir list"));
  const auto several = find_job(processes, "01234567");
  REQUIRE_FALSE(several);
  CHECK(several.error().code == Errc::not_found);
  CHECK_THAT(several.error().what, Contains("several"));
}

TEST_CASE("a job that a silent process may run is not said to be gone", "[cli]") {
  auto processes = reached();
  processes.late = 1;
  CHECK(find_job(processes, "fedcba")->overview.name == "three");
  const auto missing = find_job(processes, "00000000000000000000000000000001");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == Errc::timed_out);
  CHECK_THAT(missing.error().what, Contains("one did not answer within client.timeout"));
}

}  // namespace weir
