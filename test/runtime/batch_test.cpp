#include "runtime/batch.hpp"

#include <array>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include <catch2/catch.hpp>

#include "test/runtime/probe_operators.hpp"

namespace weir::test {

struct Visit {
  std::string page;
  std::optional<long> user;
  std::vector<std::pair<std::uint32_t, double>> scores;
  std::variant<long, std::string> extra;
  std::map<std::string, std::array<std::uint8_t, 2>> marks;
  bool operator==(const Visit&) const = default;
};
WEIR_FIELDS(Visit, page, user, scores, extra, marks)

struct Nothing {
  bool operator==(const Nothing&) const = default;
};
WEIR_NO_FIELDS(Nothing)

namespace {

template <class T>
std::string encoded(const Batch<T>& batch) {
  std::string bytes;
  ByteWriter writer(bytes);
  batch.encode(writer);
  return bytes;
}

/// Encodes with every combination of columns and decodes into a batch that was used before.
template <class T>
void check_round_trip(const std::vector<T>& values) {
  for (const bool timed : {false, true})
    for (const bool hashed : {false, true}) {
      Batch<T> batch;
      for (const T& value : values) {
        if (timed) batch.times.push_back(static_cast<EventTime>(batch.size()) - 3);
        if (hashed) batch.hashes.push_back(~static_cast<KeyHash>(batch.size()));
        batch.add(value);
      }
      const std::string bytes = encoded(batch);
      Batch<T> back;
      back.add(T{});
      back.times = {1};
      ByteReader reader(bytes);
      REQUIRE(back.decode(reader));
      CHECK(reader.remaining() == 0);
      CHECK(back.values == batch.values);
      CHECK(back.times == batch.times);
      CHECK(back.hashes == batch.hashes);
      CHECK(encoded(back) == bytes);
    }
}

/// No bytes make `decode` do anything but fail or yield a batch whose columns fit.
template <class T>
void check_hostile(const Batch<T>& batch) {
  const std::string bytes = encoded(batch);
  const auto decode = [](const std::string& hostile) {
    Batch<T> back;
    ByteReader reader(hostile);
    const auto status = back.decode(reader);
    if (status) {
      CHECK((back.times.empty() || back.times.size() == back.size()));
      CHECK((back.hashes.empty() || back.hashes.size() == back.size()));
    } else {
      CHECK(status.error().code == Errc::corruption);
    }
    return status.has_value();
  };
  for (std::size_t length = 0; length < bytes.size(); ++length)
    CHECK_FALSE(decode(bytes.substr(0, length)));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    (void)decode(flipped);
  }
  std::string endless = bytes;
  endless.replace(0, 4, "\xff\xff\xff\xff");
  CHECK_FALSE(decode(endless));
}

const Visit visit{"/a", 7, {{1, 0.5}, {2, -0.0}}, std::string("x"), {{"m", {1, 2}}}};

TEST_CASE("a batch of any described type survives its encoding, with its columns", "[runtime]") {
  check_round_trip<long>({});
  check_round_trip<long>({1, -2, 3});
  check_round_trip<std::string>({"", "a", std::string(1000, 'z')});
  check_round_trip<Visit>({visit, {}, visit});
  check_round_trip<std::tuple<double, std::string>>({{1.5, "a"}, {-0.0, ""}});
  check_round_trip<Nothing>({{}, {}, {}});
}

TEST_CASE("bytes that are no batch are told, whatever they are", "[runtime]") {
  Batch<Visit> visits;
  visits.add(visit);
  visits.add({});
  visits.times = {1, 2};
  visits.hashes = {3, 4};
  check_hostile(visits);
  Batch<std::string> strings;
  strings.add("hello");
  check_hostile(strings);
  Batch<Nothing> nothings;
  nothings.add({});
  nothings.times = {5};
  check_hostile(nothings);
}

TEST_CASE("a batch can be written in parts, each a batch of its own", "[runtime]") {
  Batch<std::string> batch;
  for (int i = 0; i < 10; ++i) {
    batch.add(std::string(100, static_cast<char>('a' + i)));
    batch.times.push_back(i);
    batch.hashes.push_back(static_cast<KeyHash>(i * i));
  }
  for (const std::size_t target : {std::size_t{0}, std::size_t{250}, std::size_t{100'000}}) {
    Batch<std::string> back;
    Batch<std::string> part;
    std::size_t parts = 0;
    for (std::size_t next = 0; next < batch.size(); ++parts) {
      std::string bytes = "what was there before";
      const std::size_t begin = bytes.size();
      ByteWriter writer(bytes);
      const std::size_t end = batch.encode_some(next, target, writer);
      REQUIRE(end > next);
      ByteReader reader(std::string_view(bytes).substr(begin));
      REQUIRE(part.decode(reader));
      CHECK(reader.complete());
      CHECK(part.size() == end - next);
      for (const std::string& value : part.values) back.add(value);
      back.times.insert(back.times.end(), part.times.begin(), part.times.end());
      back.hashes.insert(back.hashes.end(), part.hashes.begin(), part.hashes.end());
      next = end;
    }
    CHECK(parts == (target == 0 ? 10 : target == 250 ? 4 : 1));
    CHECK(back.values == batch.values);
    CHECK(back.times == batch.times);
    CHECK(back.hashes == batch.hashes);
  }
}

TEST_CASE("every edge of a plan has a codec, whether it is exchanged or chained", "[runtime]") {
  const auto plan = plan_of([](StreamEnvironment& env) {
    auto lines = env.from_collection<std::string>({"a"});
    lines.map([](std::string line) { return Visit{std::move(line), {}, {}, 0L, {}}; })
        .key_by([](const Visit& one) { return one.page; })
        .reduce([](const Visit& a, const Visit&) { return a; })
        .rebalance()
        .map([](Visit&& one) { return one.page.size(); })
        .broadcast()
        .collect(std::make_shared<Collected<std::size_t>>());
  });
  REQUIRE(plan->edges.size() == 5 - 1);
  Batch<Visit> visits;
  visits.add(visit);
  for (const PlanEdge& edge : plan->edges) {
    const auto batch = edge.make_batch();
    std::string bytes;
    ByteWriter writer(bytes);
    batch->encode(writer);
    ByteReader reader(bytes);
    CHECK(batch->decode(reader));
    CHECK(batch->size() == 0);
    if (edge.description.schema != schema_of<Visit>()) continue;
    const std::string full = encoded(visits);
    ByteReader visit_reader(full);
    REQUIRE(batch->decode(visit_reader));
    CHECK(static_cast<Batch<Visit>&>(*batch).values == visits.values);
  }
}

TEST_CASE("a batch knows the memory of its records, with heap", "[runtime]") {
  Batch<std::string> batch;
  batch.add(std::string(1000, 'x'));
  CHECK(batch.memory_bytes() >= 1000 + sizeof(std::string));
  const auto copy = batch.clone();
  CHECK(copy->memory_bytes() >= 1000 + sizeof(std::string));
  batch.clear();
  CHECK(batch.memory_bytes() == 0);
}

}  // namespace
}  // namespace weir::test
