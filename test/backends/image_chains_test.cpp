#include "backends/memory/image_chains.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include <catch2/catch.hpp>

namespace weir {
namespace {

/// A chain whose pieces have these lengths.
ImageChain chain(const std::vector<std::uint64_t>& lengths) {
  ImageChain pieces;
  for (const std::uint64_t length : lengths) {
    ImagePiece& piece = pieces.emplace_back();
    piece.sequence = pieces.size();
    piece.extent.length = length;
  }
  return pieces;
}

std::vector<std::size_t> chosen(const std::vector<ImageChain>& groups) {
  const std::vector<bool> compacted = choose_compacted(groups);
  REQUIRE(compacted.size() == groups.size());
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < groups.size(); ++i)
    if (compacted[i]) indices.push_back(i);
  return indices;
}

using Indices = std::vector<std::size_t>;

}  // namespace

TEST_CASE("a group is written whole when its later pieces have outgrown it", "[backends]") {
  CHECK(chosen({}).empty());
  CHECK(chosen({chain({}), chain({100}), chain({100, 50, 50})}).empty());
  CHECK(chosen({chain({}), chain({100}), chain({100, 50, 51})}) == Indices{2});
  CHECK(chosen({chain({100, 400})}) == Indices{0});
}

TEST_CASE("a sixteenth of the groups is written whole at a time, the worst first", "[backends]") {
  std::vector<ImageChain> groups(64, chain({100, 110}));
  CHECK(chosen(groups) == Indices{0, 1, 2, 3});
  for (const std::size_t worse : {9, 30, 31, 60}) groups[worse] = chain({100, 200, worse});
  CHECK(chosen(groups) == Indices{9, 30, 31, 60});
  groups.resize(8, chain({100, 110}));
  groups[0] = chain({100, 10});
  CHECK(chosen(groups) == Indices{1});
}

TEST_CASE("a group that has outgrown what it builds on three times is always written whole",
          "[backends]") {
  std::vector<ImageChain> groups(64, chain({100, 500}));
  CHECK(chosen(groups).size() == 64);
}

TEST_CASE("a chain of very many small pieces is written whole", "[backends]") {
  std::vector<std::uint64_t> lengths(64, 1);
  lengths[0] = 1'000'000;
  CHECK(chosen({chain(lengths)}).empty());
  lengths.push_back(1);
  CHECK(chosen({chain(lengths)}) == Indices{0});
}

TEST_CASE("what is older than the base is forgotten, and what never completes is bounded",
          "[backends]") {
  ImageChains chains;
  const auto of_epoch = [](std::uint32_t epoch) { return BackendImages{{"count", {epoch, {}}}}; };
  CHECK(chains.find({1}) == nullptr);
  for (std::uint32_t id = 1; id <= 3; ++id) chains.remember({id}, of_epoch(id));
  const auto second = chains.find({2});
  REQUIRE(second != nullptr);
  CHECK(second->at("count").epoch == 2);
  CHECK(chains.find({1}) == nullptr);
  CHECK(chains.find({2}) != nullptr);
  for (std::uint32_t id = 4; id <= 100; ++id) chains.remember({id}, of_epoch(id));
  CHECK(chains.find({2}) != nullptr);
  CHECK(chains.find({50}) == nullptr);
  CHECK(chains.find({100}) != nullptr);
  CHECK(second->at("count").epoch == 2);  // whoever works with it keeps it
}

}  // namespace weir
