#include "test/simulation/mutants.hpp"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "test/sanitized.hpp"

namespace weir::test {
namespace {

/// So many seeds are tried until one breaks a promise.
constexpr std::uint64_t seeds_max = 2000;

/// Which seed has noticed a mutant, and what.
struct Finding {
  std::uint64_t seed = 0;
  std::string violation;  ///< empty: none has
};

/// Tries seeds until one notices, and writes each and what was found to `out`. First the one that has noticed
/// before: as long as nothing else has changed it does so again.
void search(const Mutant& mutant, int out) {
  const auto tell = [out](const std::string& line) {
    if (::write(out, line.data(), line.size()) != static_cast<ssize_t>(line.size())) ::_exit(1);
  };
  for (std::uint64_t i = 0; i <= seeds_max; ++i) {
    const std::uint64_t seed = i == 0 ? mutant.noticed_by : i;
    tell(std::to_string(seed) + "\n");
    const SeededRunReport report = run_seed(seed, mutant.code);
    if (report.violations.empty()) continue;
    tell(report.violations.front().substr(0, 300));
    return;
  }
}

/// In a process of its own, because code that is wrong may also end it.
Finding find(const Mutant& mutant) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    for (const int signal : {SIGABRT, SIGSEGV, SIGFPE, SIGILL}) std::signal(signal, SIG_DFL);
    search(mutant, ends[1]);
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string told;
  for (char part[4096];;) {
    const ssize_t size = ::read(ends[0], part, sizeof part);
    if (size <= 0) break;
    told.append(part, static_cast<std::size_t>(size));
  }
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  const std::size_t end = told.rfind('\n');
  REQUIRE(end != std::string::npos);
  const std::size_t before = told.rfind('\n', end - 1);
  Finding finding;
  finding.seed =
      std::strtoull(told.c_str() + (before == std::string::npos ? 0 : before + 1), nullptr, 10);
  finding.violation = told.substr(end + 1);
  if (WIFSIGNALED(status)) {
    // An assertion of the product has noticed. Whatever else ends a process has not.
    INFO(finding.seed << ": " << ::strsignal(WTERMSIG(status)));
    REQUIRE(WTERMSIG(status) == SIGABRT);
    finding.violation = "an assertion fails";
  }
  return finding;
}

TEST_CASE("the promises of seeded runs notice code that is wrong in one place", "[simulation]") {
  // What is wrong is found on one thread, without touching memory that is not there: a sanitizer adds nothing.
  constexpr std::size_t stride = sanitized ? 10 : 1;
  const auto all = mutants();
  for (std::size_t i = 0; i < all.size(); i += stride) {
    const Mutant& mutant = all[i];
    DYNAMIC_SECTION(mutant.what) {
      const Finding finding = find(mutant);
      std::cout << mutant.what << ": seed " << finding.seed << ": " << finding.violation
                << std::endl;
      CHECK_FALSE(finding.violation.empty());
    }
  }
}

}  // namespace
}  // namespace weir::test
