#include "runtime/exchange.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <catch2/catch.hpp>

#include "test/runtime/task_harness.hpp"

namespace weir::test {
namespace {

using Channels = std::vector<std::shared_ptr<Channel>>;

Channels make_channels(std::size_t count) {
  Channels channels;
  for (std::size_t i = 0; i < count; ++i) channels.push_back(std::make_shared<Channel>(1 << 20));
  return channels;
}
template <class T = long>
void write(ExchangeWriter& writer, std::type_identity_t<std::vector<T>> values,
           std::vector<EventTime> times = {}) {
  auto batch = std::make_unique<Batch<T>>();
  for (auto& value : values) batch->add(std::move(value));
  batch->times = std::move(times);
  std::unique_ptr<AnyBatch> any = std::move(batch);
  writer.write(any);
  if (any) CHECK(any->size() == 0);
}
/// The next element of `channel` as a batch, taken out.
template <class T>
std::unique_ptr<Batch<T>> take_batch(Channel& channel) {
  REQUIRE(channel.peek() != nullptr);
  auto element = channel.pop();
  auto* const batch = std::get_if<std::unique_ptr<AnyBatch>>(&element);
  REQUIRE(batch != nullptr);
  return std::unique_ptr<Batch<T>>(static_cast<Batch<T>*>(batch->release()));
}
std::vector<long> numbers(long from, long count) {
  std::vector<long> values;
  for (long i = 0; i < count; ++i) values.push_back(from + i);
  return values;
}

TEST_CASE("a hash exchange sends a record to the subtask that owns its key group, hash and all",
          "[runtime]") {
  const std::uint32_t max_parallelism = 128;
  const std::size_t parallelism = GENERATE(1, 2, 3, 4);
  const auto channels = make_channels(parallelism);
  const auto key_of = [](const std::string& text) { return text.substr(0, 2); };
  HashWriter<std::string, decltype(key_of)> writer(channels, key_of, max_parallelism);
  for (int batch = 0; batch < 20; ++batch) {
    std::vector<std::string> values;
    for (int i = 0; i < 200; ++i) values.push_back(std::to_string((batch * 7 + i) % 100) + " x");
    write<std::string>(writer, values);
  }
  writer.flush();
  std::size_t count = 0;
  for (std::uint32_t i = 0; i < parallelism; ++i) {
    while (channels[i]->peek() != nullptr) {
      const auto batch = take_batch<std::string>(*channels[i]);
      REQUIRE(batch->hashes.size() == batch->size());
      CHECK(batch->times.empty());
      for (std::size_t r = 0; r < batch->size(); ++r, ++count) {
        CHECK(batch->hashes[r] == hash_key(key_of(batch->values[r])));
        const auto group = key_group_of(batch->hashes[r], max_parallelism);
        CHECK(key_group_range(i, static_cast<std::uint32_t>(parallelism), max_parallelism)
                  .contains(group));
      }
    }
  }
  CHECK(count == 4000);
}

TEST_CASE("a hash exchange keeps the order in which one producer sent the records of a key",
          "[runtime]") {
  const auto channels = make_channels(3);
  const auto key_of = [](long value) { return value % 10; };
  HashWriter<long, decltype(key_of)> writer(channels, key_of, 16);
  for (long i = 0; i < 50; ++i) write(writer, numbers(i * 100, 100));
  writer.flush();
  std::map<long, long> last;
  std::size_t count = 0;
  for (const auto& channel : channels) {
    while (channel->peek() != nullptr) {
      const auto batch = take_batch<long>(*channel);
      for (const long value : batch->values) {
        const auto [known, first] = last.emplace(value % 10, value);
        if (!first) CHECK(known->second < value);
        known->second = value;
        ++count;
      }
    }
  }
  CHECK(count == 5000);
}

TEST_CASE("rebalance deals batches out in turn, beginning where the producer's number says",
          "[runtime]") {
  const auto channels = make_channels(3);
  RebalanceWriter<long> writer(channels, 4);
  for (long i = 0; i < 6; ++i) write(writer, {i});
  writer.flush();
  CHECK(take<long>(*channels[1]) == Lines{"0", "3"});
  CHECK(take<long>(*channels[2]) == Lines{"1", "4"});
  CHECK(take<long>(*channels[0]) == Lines{"2", "5"});
}

TEST_CASE("broadcast sends every record to every subtask", "[runtime]") {
  const auto channels = make_channels(3);
  BroadcastWriter<std::string> writer(channels);
  std::vector<std::string> large(700, "a string that does not fit into the object itself");
  write<std::string>(writer, {"a", "b"});
  write<std::string>(writer, large);
  writer.flush();
  Lines expected{"a", "b"};
  expected.insert(expected.end(), large.begin(), large.end());
  for (const auto& channel : channels) CHECK(take<std::string>(*channel) == expected);
}

TEST_CASE("forward keeps order and passes large batches on whole", "[runtime]") {
  const auto channels = make_channels(1);
  ForwardWriter<long> writer(channels);
  write(writer, numbers(0, 600));
  CHECK_FALSE(writer.has_partial());
  CHECK(take_batch<long>(*channels[0])->size() == 600);
  write(writer, numbers(0, 10));
  CHECK(writer.has_partial());
  CHECK(channels[0]->peek() == nullptr);
  write(writer, numbers(10, 1200));  // behind what waits
  writer.flush();
  CHECK_FALSE(writer.has_partial());
  CHECK(take_batch<long>(*channels[0])->size() == batch_capacity_records);
  const auto rest = take_batch<long>(*channels[0]);
  CHECK(rest->values == numbers(batch_capacity_records, 1210 - batch_capacity_records));
}

TEST_CASE("a batch of large records is full at its bytes", "[runtime]") {
  const auto channels = make_channels(1);
  ForwardWriter<std::string> writer(channels);
  for (int i = 0; i < 10; ++i) write<std::string>(writer, {std::string(100'000, 'x')});
  CHECK(take_batch<std::string>(*channels[0])->size() == 3);
  CHECK(take_batch<std::string>(*channels[0])->size() == 3);
}

TEST_CASE("an event sends off partly filled batches first, on every channel", "[runtime]") {
  const auto channels = make_channels(2);
  RebalanceWriter<long> writer(channels, 0);
  write(writer, {1});
  writer.broadcast(Watermark{3});
  write(writer, {2});
  writer.broadcast(barrier_of(1));
  writer.broadcast(CancelCheckpointMarker{{2}});
  writer.broadcast(EndOfInput{});
  writer.broadcast(EndOfPartition{});
  const Lines tail{"barrier 1", "cancel 2", "end of input", "end of partition"};
  Lines first{"1", "watermark 3"};
  Lines second{"watermark 3", "2"};
  first.insert(first.end(), tail.begin(), tail.end());
  second.insert(second.end(), tail.begin(), tail.end());
  CHECK(take<long>(*channels[0]) == first);
  CHECK(take<long>(*channels[1]) == second);
}

TEST_CASE("records with and without event time in one batch keep their times apart", "[runtime]") {
  const auto channels = make_channels(1);
  ForwardWriter<long> writer(channels);
  write(writer, {1});
  write(writer, {2, 3}, {20, 30});
  write(writer, {4});
  writer.flush();
  const auto batch = take_batch<long>(*channels[0]);
  CHECK(batch->values == std::vector<long>{1, 2, 3, 4});
  CHECK(batch->times == std::vector<EventTime>{no_event_time, 20, 30, no_event_time});
}

TEST_CASE("a collector gives every record of a batch a time once one has one", "[runtime]") {
  Batch<long> batch;
  Collector<long> out;
  out.attach(&batch);
  out.collect(1);
  CHECK(batch.times.empty());
  out.set_time(20);
  out.collect(2);
  out.clear_time();
  out.collect(3);
  CHECK(batch.times == std::vector<EventTime>{no_event_time, 20, no_event_time});
  batch.clear();
  out.clear_time();
  out.collect(4);
  CHECK(batch.times.empty());
}

TEST_CASE("in the steady state batches come back and none is allocated", "[runtime]") {
  const auto channels = make_channels(1);
  const auto key_of = [](long value) { return value; };
  HashWriter<long, decltype(key_of)> writer(channels, key_of, 16);
  std::set<const AnyBatch*> seen;
  std::unique_ptr<AnyBatch> batch = std::make_unique<Batch<long>>();
  for (int round = 0; round < 1000; ++round) {
    auto& typed = static_cast<Batch<long>&>(*batch);
    for (const long value : numbers(0, 1024)) typed.add(value);
    writer.write(batch);
    REQUIRE(batch);
    auto element = channels[0]->pop();
    auto& arrived = std::get<std::unique_ptr<AnyBatch>>(element);
    seen.insert(arrived.get());
    channels[0]->recycle(std::move(arrived));
  }
  CHECK(seen.size() <= 3);
}

}  // namespace
}  // namespace weir::test
