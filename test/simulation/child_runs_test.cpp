#include "simulation/child_runs.hpp"

#include <csignal>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <catch2/catch.hpp>

namespace weir::test {
namespace {

using Catch::Matchers::Contains;

std::map<std::uint64_t, ChildResult> run(const ChildRuns& runs, std::uint64_t first,
                                         std::uint64_t last,
                                         const std::function<std::string(std::uint64_t)>& work) {
  std::map<std::uint64_t, ChildResult> results;
  REQUIRE(runs.run(first, last, work, [&](ChildResult result) {
    CHECK(results.emplace(result.number, result).second);
  }));
  // All children are gone.
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
  return results;
}

}  // namespace

TEST_CASE("each piece of work returns its bytes from a process of its own", "[simulation]") {
  static int shared = 0;
  const pid_t parent = ::getpid();
  for (const std::uint32_t at_a_time : {1U, 3U, 100U}) {
    const auto results = run({at_a_time}, 5, 14, [&](std::uint64_t number) {
      shared += 1;
      return std::to_string(number) + " " + std::to_string(shared) +
             (::getpid() == parent ? " here" : " there");
    });
    REQUIRE(results.size() == 10);
    for (const auto& [number, result] : results) {
      CHECK(result.bytes == std::to_string(number) + " 1 there");
      CHECK(result.failure.empty());
    }
  }
  CHECK(shared == 0);
}

TEST_CASE("children one at a time end in the order of their numbers", "[simulation]") {
  std::vector<std::uint64_t> order;
  REQUIRE(ChildRuns{}.run(
      3, 6, [](std::uint64_t) { return std::string(); },
      [&](const ChildResult& result) { order.push_back(result.number); }));
  CHECK(order == std::vector<std::uint64_t>{3, 4, 5, 6});
}

TEST_CASE("much is returned whole, and the last number there is comes to an end", "[simulation]") {
  const std::uint64_t last = ~std::uint64_t{0};
  const auto results = run({2}, last - 1, last, [](std::uint64_t number) {
    return std::string(3'000'000, static_cast<char>('a' + number % 2));
  });
  REQUIRE(results.size() == 2);
  CHECK(results.at(last).bytes == std::string(3'000'000, 'b'));
}

TEST_CASE("a child that crashes or ends itself fails alone", "[simulation]") {
  const auto results = run({2}, 0, 4, [](std::uint64_t number) -> std::string {
    if (number == 1) {
      ::signal(SIGSEGV, SIG_DFL);
      ::raise(SIGSEGV);
    }
    if (number == 2) ::_exit(3);
    if (number == 3) {
      ::signal(SIGABRT, SIG_DFL);
      ::raise(SIGABRT);
    }
    return "good";
  });
  REQUIRE(results.size() == 5);
  CHECK(results.at(0).bytes == "good");
  CHECK(results.at(4).bytes == "good");
  CHECK(results.at(1).failure == "crashed its process (SIGSEGV)");
  CHECK(results.at(2).failure == "ended its process with exit code 3");
  CHECK(results.at(3).failure == "crashed its process (SIGABRT)");
  for (const std::uint64_t number : {1, 2, 3}) CHECK(results.at(number).bytes.empty());
}

TEST_CASE("an exception that leaves a piece of work fails it, and nothing else", "[simulation]") {
  const auto results = run({1}, 0, 1, [](std::uint64_t number) -> std::string {
    ::signal(SIGABRT, SIG_DFL);
    ::close(STDERR_FILENO);  // where the exception would be told
    if (number == 0) throw std::runtime_error("unlucky");
    return "good";
  });
  CHECK_THAT(results.at(0).failure, Contains("SIGABRT"));
  CHECK(results.at(1).bytes == "good");
}

TEST_CASE("a child that takes too long is ended", "[simulation]") {
  ChildRuns runs;
  runs.at_a_time = 2;
  runs.longest = std::chrono::milliseconds(1);
  const auto results = run(runs, 0, 0, [](std::uint64_t) {
    for (;;) ::pause();
    return std::string();
  });
  CHECK_THAT(results.at(0).failure,
             Contains("took more than") && Contains("of real time and was ended"));
}

TEST_CASE("whoever wants the runs to end, ends those that run and starts no more", "[simulation]") {
  ChildRuns runs;
  runs.at_a_time = 2;
  std::size_t taken = 0;
  runs.ended = [&] { return taken == 3; };
  REQUIRE(runs.run(
      0, 1'000'000,
      [](std::uint64_t number) {
        if (number == 1)
          for (;;) ::pause();
        return std::string();
      },
      [&](const ChildResult& result) {
        CHECK(result.number != 1);
        ++taken;
      }));
  CHECK(taken == 3);
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
}

}  // namespace weir::test
