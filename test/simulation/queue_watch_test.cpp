#include "simulation/queue_watch.hpp"

#include <catch2/catch.hpp>

namespace weir::test {
namespace {

using Catch::Contains;

constexpr std::size_t room = 1024;

/// A task with two channels.
struct Producer {
  Producer() {
    task.execution.vertex = 3;
    task.execution.subtask = 1;
    task.outputs.push_back({2, {std::make_shared<Channel>(room), std::make_shared<Channel>(room)}});
  }
  [[nodiscard]] Channel& channel(std::size_t index) const {
    return *task.outputs[0].channels[index];
  }
  /// A step that puts `records` of 8 bytes, and a watermark, into a channel.
  std::optional<std::string> step(std::size_t index, std::size_t records) {
    watch.see_step(task);
    auto batch = std::make_unique<Batch<std::uint64_t>>();
    batch->values.resize(records);
    channel(index).push(std::unique_ptr<AnyBatch>(std::move(batch)));
    channel(index).push(Watermark{});
    return watch.see_step_over(task);
  }

  TaskEnvironment task;
  QueueWatch watch{room};
};

TEST_CASE("a mailbox holds as many messages as a gateway admits", "[simulation]") {
  CHECK_FALSE(QueueWatch::see_mailbox(RequestBound::max_in_flight));
  CHECK(QueueWatch::see_mailbox(RequestBound::max_in_flight + 1) ==
        "at most 1000 messages were expected to wait for an actor, found 1001");
}

TEST_CASE("a task that goes on without room is noticed", "[simulation]") {
  constexpr std::size_t records = QueueWatch::most_bytes_without_room / 8;
  Producer one;
  // What the step makes that finds room has no bound.
  CHECK_FALSE(one.step(1, 2 * records));
  CHECK_FALSE(one.step(1, records / 2));
  CHECK_FALSE(one.step(0, records));
  const auto told = one.step(1, records / 2);
  REQUIRE(told);
  CHECK_THAT(*told, Contains("task 3/1 was expected to wait for room in its channel to subtask 1 "
                             "of edge 2, which takes 1024 bytes, found"));
}

TEST_CASE("a task that finds room now and then puts any number of records into a channel",
          "[simulation]") {
  constexpr std::size_t records = QueueWatch::most_bytes_without_room / 8;
  Producer one;
  for (int round = 0; round < 5; ++round) {
    CHECK_FALSE(one.step(0, records));
    CHECK_FALSE(one.step(0, records / 2));
    while (one.channel(0).peek() != nullptr) (void)one.channel(0).pop();
  }
}

}  // namespace
}  // namespace weir::test
