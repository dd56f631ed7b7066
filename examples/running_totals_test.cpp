// Tests of running_totals.cpp: of what it does with one order after the other, and of the whole job when things fail.
//
//   weir compile running_totals_test.cpp -o running_totals_test
//   ./running_totals_test
//
// Weir asks for no test framework; this one is Catch2 (Debian: catch2). A failure names a seed, and WEIR_SEED=19
// ./running_totals_test runs that one alone.
#define CATCH_CONFIG_MAIN
#define WEIR_NO_MAIN  // the job is no program here
#include "running_totals.cpp"

#include <string>

#include <catch2/catch.hpp>

#include <weir/testing.hpp>

using namespace weir::testing;

TEST_CASE("each order is added to the total of its account") {
  auto totals = operator_harness(totals_of).on("rocksdb");
  totals.push({.account = 1, .cents = 100});
  totals.push({.account = 2, .cents = 30});
  totals.push({.account = 1, .cents = 5});
  const auto output = totals.take_output();
  REQUIRE(output.size() == 3);
  CHECK(output[1].cents == 30);
  CHECK(output[2].orders == 2);
  CHECK(output[2].cents == 105);
  CHECK(totals.state("state", "1") == R"({"cents":105,"orders":2})");
}

TEST_CASE("totals are kept in state, and nowhere else") {
  expect_same_when_restored(totals_of, [](auto& totals) {
    for (std::uint32_t i = 0; i < 20; ++i) totals.push({.account = i % 3, .cents = i});
  });
}

TEST_CASE("no crash loses or doubles an order") {
  simulate(running_totals)
      .arguments({"--orders", "3000"})
      .seeds(1, 20)
      .with_faults(crashes() | storage_faults() | network_faults())
      .expect_exactly_once();
}

TEST_CASE("totals depend on the orders alone") {
  simulate(running_totals).arguments({"--orders", "3000"}).seeds(1, 5).expect_determinism();
}
