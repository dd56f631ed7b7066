#include "state/memory_budget.hpp"

#include <array>
#include <memory>
#include <string>

#include <catch2/catch.hpp>

#include "backends/fs/fs_state_backend.hpp"
#include "state/keyed_state.hpp"

namespace weir {
namespace {

using Value = std::array<std::uint64_t, 16>;
constexpr std::uint32_t groups = 4;

struct NullSink final : SnapshotSink {
  std::uint64_t written = 0;
  Status append(std::string_view bytes) override {
    written += bytes.size();
    return {};
  }
  std::uint64_t position() const override { return written; }
};

/// Keyed state of one operator with values of 128 bytes.
struct State {
  explicit State(FsStateBackend& backend) {
    KeyedStateBackendContext context;
    context.operator_label = "operator 'counter'";
    context.key_width = 8;
    context.groups = {0, groups};
    context.max_parallelism = groups;
    auto created = backend.create_keyed_state_backend(context);
    REQUIRE(created);
    keyed = std::move(*created);
    auto made = make_state(ValueStateDescriptor<Value>{"value"}, schema_of<std::uint64_t>(),
                           {{0, groups}, groups, 8}, &key);
    value = std::move(made.handle);
    REQUIRE(keyed->add_table(std::move(made.table)));
    REQUIRE(*keyed->load_restored());
  }
  void touch(std::uint64_t number) {
    key.word = number;
    key.hash = hash_key(number);
    key.group = key_group_of(key.hash, groups);
    ++value.mutable_value()[0];
  }
  /// As often as it takes for the budget to be looked at, and for memory to be reclaimed.
  Status settle() {
    for (int i = 0; i < 1000; ++i) WEIR_TRY(keyed->store_changes());
    return {};
  }

  KeyContext key;
  std::unique_ptr<KeyedStateBackend> keyed;
  ValueState<Value> value;
};

}  // namespace

TEST_CASE("shares of a budget are counted together and given back", "[state]") {
  const auto budget = std::make_shared<MemoryBudget>(100);
  MemoryBudget::Share one(budget);
  {
    MemoryBudget::Share other(budget);
    CHECK(one.set(60));
    CHECK(other.set(40));
    CHECK_FALSE(other.set(41));
    CHECK(other.set(10));
    CHECK(budget->used_bytes() == 70);
    CHECK(one.set(20));
    CHECK(budget->used_bytes() == 30);
  }
  CHECK(budget->used_bytes() == 20);
}

SCENARIO("state over the configured memory fails with that reason", "[backends]") {
  GIVEN("a budget of 4 MiB for two operators, and 2 MiB of state") {
    const auto budget = std::make_shared<MemoryBudget>(std::uint64_t{4} << 20);
    FsStateBackend backend(0, budget);
    State state(backend);
    const auto other = std::make_unique<State>(backend);
    std::uint64_t keys = 0;
    while (budget->used_bytes() < std::uint64_t{2} << 20) {
      state.touch(++keys);
      REQUIRE(state.settle());
    }
    WHEN("the other operator takes the rest") {
      Status status;
      std::uint64_t added = 0;
      while (status) {
        REQUIRE(added < 100'000);
        other->touch(++added);
        status = other->settle();
      }
      THEN("it is told what is too much, of what, and what to do") {
        CHECK(status.error().code == Errc::limit_exceeded);
        CHECK_THAT(status.error().what,
                   Catch::Contains("its state takes 2049 KiB in this subtask"));
        CHECK_THAT(status.error().what, Catch::Contains("4 MiB"));
        CHECK_THAT(status.error().what, Catch::Contains("taskmanager.memory.task.heap.size"));
      }
    }
    WHEN("all of it is written anew while a snapshot keeps the old") {
      while (budget->used_bytes() < std::uint64_t{3} << 20) {
        state.touch(++keys);
        REQUIRE(state.settle());
      }
      auto snapshot = state.keyed->begin_snapshot({{1}, {}, SnapshotForm::canonical});
      REQUIRE(snapshot);
      for (std::uint64_t key = 1; key <= keys; ++key) {
        state.touch(key);
        REQUIRE(state.keyed->store_changes());
      }
      THEN("the snapshot is given up, and the state goes on") {
        CHECK(budget->used_bytes() > std::uint64_t{4} << 20);
        NullSink sink;
        const auto written = (*snapshot)->run(sink);
        REQUIRE_FALSE(written);
        CHECK(written.error().code == Errc::limit_exceeded);
        CHECK_THAT(written.error().what, Catch::Contains("taskmanager.memory.task.heap.size"));
        snapshot->reset();
        REQUIRE(state.settle());
        CHECK(budget->used_bytes() < std::uint64_t{4} << 20);
        auto next = state.keyed->begin_snapshot({{2}, {}, SnapshotForm::canonical});
        REQUIRE(next);
        CHECK((*next)->run(sink));
      }
      AND_WHEN("the snapshot never ends, and the state grows") {
        Status status;
        while (status) {
          REQUIRE(budget->used_bytes() < std::uint64_t{9} << 20);
          state.touch(++keys);
          status = state.keyed->store_changes();
        }
        THEN("it fails before it has taken more than its budget and what the snapshot keeps") {
          CHECK(status.error().code == Errc::limit_exceeded);
          CHECK(budget->used_bytes() > std::uint64_t{4} << 20);
          CHECK(budget->used_bytes() < std::uint64_t{8} << 20);
        }
      }
    }
  }
}

SCENARIO("what snapshots keep of the past counts against the budget until they are gone",
         "[backends]") {
  GIVEN("some state within a budget, written anew as a whole from time to time") {
    const auto budget = std::make_shared<MemoryBudget>(std::uint64_t{64} << 20);
    FsStateBackend backend(0, budget);
    State state(backend);
    std::uint64_t keys = 0;
    while (budget->used_bytes() < std::uint64_t{2} << 20) {
      state.touch(++keys);
      REQUIRE(state.settle());
    }
    const std::uint64_t payload = keys * sizeof(Value);
    const auto used_after_writing = [&] {
      for (std::uint64_t key = 1; key <= keys; ++key) state.touch(key);
      REQUIRE(state.settle());
      return budget->used_bytes();
    };
    const auto used = [&] {
      REQUIRE(state.settle());
      return budget->used_bytes();
    };
    const std::uint64_t alone = used_after_writing();
    WHEN("two snapshots are in flight") {
      NullSink sink;
      auto first = state.keyed->begin_snapshot({{1}, {}, SnapshotForm::canonical}).value();
      const std::uint64_t frozen = used();
      const std::uint64_t with_one = used_after_writing();
      auto second = state.keyed->begin_snapshot({{2}, {}, SnapshotForm::canonical}).value();
      const std::uint64_t with_two = used_after_writing();
      THEN("each counts what it alone still sees, in whatever order they end") {
        CHECK(frozen < alone + payload / 4);  // nothing has been written behind it yet
        CHECK(with_one >= alone + payload);
        CHECK(with_two >= with_one + payload);
        CHECK(used_after_writing() < with_two + payload / 4);  // nobody sees the last but one
        auto& ends_first = GENERATE(true, false) ? first : second;
        auto& ends_last = &ends_first == &first ? second : first;
        REQUIRE(ends_first->run(sink));
        ends_first.reset();
        const std::uint64_t with_other = used();
        CHECK(with_other <= with_two - payload);
        CHECK(with_other >= alone + payload);
        REQUIRE(ends_last->run(sink));
        ends_last.reset();
        CHECK(used() < alone + payload / 4);
      }
    }
  }
}

}  // namespace weir
