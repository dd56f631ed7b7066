#include "runtime/barrier_aligner.hpp"

#include <array>
#include <set>

#include <catch2/catch.hpp>

namespace weir {
namespace {

CheckpointBarrier barrier(std::uint64_t id, Alignment alignment = Alignment::exactly_once) {
  CheckpointBarrier result;
  result.id = {id};
  result.triggered_at_ms = static_cast<std::int64_t>(1000 * id);
  result.options.alignment = alignment;
  return result;
}
CheckpointBarrier counted(std::uint64_t id) { return barrier(id, Alignment::at_least_once); }

AlignmentDecision completed(const CheckpointBarrier& of) { return CheckpointAligned{of}; }
AlignmentDecision aborted(std::uint64_t id, AlignmentAbortReason reason) {
  return AlignmentAborted{{id}, reason};
}
AlignmentDecision subsumed(std::uint64_t id) { return aborted(id, AlignmentAbortReason::subsumed); }
AlignmentDecision cancelled(std::uint64_t id) {
  return aborted(id, AlignmentAbortReason::on_cancellation_barrier);
}
AlignmentDecision notified(std::uint64_t id) { return aborted(id, AlignmentAbortReason::notified); }

using Decisions = AlignmentDecisions;
const Decisions nothing;

/// The decisions of a call that must succeed.
Decisions take(Result<Decisions> result) {
  if (!result) FAIL(result.error().what);
  return *std::move(result);
}

/// The blocked channels as a string of '.' and '#', one per channel.
std::string blocked(const BarrierAligner& aligner, std::size_t channels) {
  std::string picture;
  for (std::size_t channel = 0; channel < channels; ++channel)
    picture += aligner.is_blocked(channel) ? '#' : '.';
  return picture;
}

TEST_CASE("a task with one channel performs a newer checkpoint at once and ignores the others",
          "[runtime]") {
  const auto mode = GENERATE(Alignment::exactly_once, Alignment::at_least_once);
  BarrierAligner aligner{1};
  CHECK(take(aligner.on_barrier(0, barrier(3, mode))) == Decisions{completed(barrier(3, mode))});
  CHECK(take(aligner.on_barrier(0, barrier(3, mode))) == nothing);
  CHECK(take(aligner.on_barrier(0, barrier(2, mode))) == nothing);
  CHECK(take(aligner.on_cancel_marker(0, {{5}})) == Decisions{cancelled(5)});
  CHECK(take(aligner.on_barrier(0, barrier(5, mode))) == nothing);
  CHECK(take(aligner.on_barrier(0, barrier(6, mode))) == Decisions{completed(barrier(6, mode))});
  CHECK_FALSE(aligner.is_blocked(0));
}

SCENARIO("exactly-once: channels that delivered the barrier wait for the others", "[runtime]") {
  GIVEN("a task with three channels, two of which have delivered barrier 7") {
    BarrierAligner aligner{3};
    CHECK(take(aligner.on_barrier(0, barrier(7))) == nothing);
    CHECK(blocked(aligner, 3) == "#..");
    CHECK(take(aligner.on_barrier(2, barrier(7))) == nothing);
    CHECK(blocked(aligner, 3) == "#.#");
    CHECK(aligner.aligning() == CheckpointId{7});

    WHEN("the last barrier arrives") {
      THEN("the checkpoint is performed with its options, and all channels flow") {
        CHECK(take(aligner.on_barrier(1, barrier(7))) == Decisions{completed(barrier(7))});
        CHECK(blocked(aligner, 3) == "...");
        CHECK_FALSE(aligner.aligning());
      }
    }
    WHEN("a channel delivers the barrier twice") {
      THEN("the stream is corrupt") {
        const auto result = aligner.on_barrier(0, barrier(7));
        REQUIRE_FALSE(result);
        CHECK(result.error().code == Errc::corruption);
        CHECK(result.error().what == "barrier of checkpoint 7 arrived twice on input channel 0");
      }
    }
    WHEN("a barrier of the same checkpoint has other options") {
      THEN("the stream is corrupt") {
        const auto result = aligner.on_barrier(1, counted(7));
        REQUIRE_FALSE(result);
        CHECK(result.error().code == Errc::corruption);
      }
    }
    WHEN("a newer barrier arrives") {
      THEN("the old checkpoint is declined and the new alignment begins") {
        CHECK(take(aligner.on_barrier(1, barrier(8))) == Decisions{subsumed(7)});
        CHECK(blocked(aligner, 3) == ".#.");
        CHECK(take(aligner.on_barrier(0, barrier(8))) == nothing);
        CHECK(take(aligner.on_barrier(2, barrier(8))) == Decisions{completed(barrier(8))});
      }
    }
    WHEN("an older barrier arrives") {
      THEN("it is ignored") {
        CHECK(take(aligner.on_barrier(1, barrier(6))) == nothing);
        CHECK(blocked(aligner, 3) == "#.#");
        CHECK(take(aligner.on_barrier(1, barrier(7))) == Decisions{completed(barrier(7))});
      }
    }
    WHEN("its cancel marker arrives") {
      THEN("it is declined, the channels flow, and its late barrier starts nothing") {
        CHECK(take(aligner.on_cancel_marker(1, {{7}})) == Decisions{cancelled(7)});
        CHECK(blocked(aligner, 3) == "...");
        CHECK(take(aligner.on_barrier(1, barrier(7))) == nothing);
        CHECK(take(aligner.on_cancel_marker(0, {{7}})) == nothing);
        CHECK(blocked(aligner, 3) == "...");
      }
    }
    WHEN("the cancel marker of a newer checkpoint arrives (A8)") {
      THEN("the old one is declined, once, and the newer one refused") {
        CHECK(take(aligner.on_cancel_marker(1, {{8}})) == Decisions{subsumed(7), cancelled(8)});
        CHECK(blocked(aligner, 3) == "...");
        CHECK(take(aligner.on_barrier(0, barrier(8))) == nothing);
        CHECK(take(aligner.on_barrier(2, barrier(8))) == nothing);
        CHECK(blocked(aligner, 3) == "...");
      }
    }
    WHEN("the cancel marker of an older checkpoint arrives") {
      THEN("it is ignored") {
        CHECK(take(aligner.on_cancel_marker(1, {{6}})) == nothing);
        CHECK(blocked(aligner, 3) == "#.#");
      }
    }
    WHEN("the missing channel ends (A5)") {
      THEN("that counts as its barrier, for this checkpoint and later ones") {
        CHECK(take(aligner.on_end_of_channel(1)) == Decisions{completed(barrier(7))});
        CHECK(blocked(aligner, 3) == "...");
        CHECK(take(aligner.on_barrier(2, barrier(8))) == nothing);
        CHECK(blocked(aligner, 3) == "..#");
        CHECK(take(aligner.on_barrier(0, barrier(8))) == Decisions{completed(barrier(8))});
      }
    }
    WHEN("the coordinator aborts it") {
      THEN("the channels flow, the marker goes on, and its late barrier starts nothing") {
        CHECK(aligner.abort({7}) == Decisions{notified(7)});
        CHECK(blocked(aligner, 3) == "...");
        CHECK(aligner.abort({7}) == nothing);
        CHECK(take(aligner.on_barrier(1, barrier(7))) == nothing);
        CHECK(take(aligner.on_barrier(1, barrier(8))) == nothing);
        CHECK(blocked(aligner, 3) == ".#.");
      }
    }
    WHEN("the coordinator aborts another one") {
      THEN("nothing happens to this one") {
        CHECK(aligner.abort({6}) == nothing);
        CHECK(aligner.abort({8}) == nothing);
        CHECK(take(aligner.on_barrier(1, barrier(7))) == Decisions{completed(barrier(7))});
      }
    }
  }
}

TEST_CASE("a cancel marker without alignment refuses its checkpoint before any barrier",
          "[runtime]") {
  const auto mode = GENERATE(Alignment::exactly_once, Alignment::at_least_once);
  BarrierAligner aligner{2};
  CHECK(take(aligner.on_cancel_marker(0, {{4}})) == Decisions{cancelled(4)});
  CHECK(take(aligner.on_barrier(1, barrier(4, mode))) == nothing);
  CHECK(blocked(aligner, 2) == "..");
  CHECK(take(aligner.on_barrier(1, barrier(5, mode))) == nothing);
  CHECK(take(aligner.on_barrier(0, barrier(5, mode))) == Decisions{completed(barrier(5, mode))});
}

TEST_CASE("ends of channels: before, after and instead of barriers", "[runtime]") {
  const auto mode = GENERATE(Alignment::exactly_once, Alignment::at_least_once);
  BarrierAligner aligner{3};
  SECTION("an end before the first barrier makes the channel count in every later checkpoint") {
    CHECK(take(aligner.on_end_of_channel(2)) == nothing);
    for (const std::uint64_t id : {1, 2}) {
      CHECK(take(aligner.on_barrier(0, barrier(id, mode))) == nothing);
      CHECK(take(aligner.on_barrier(1, barrier(id, mode))) ==
            Decisions{completed(barrier(id, mode))});
    }
  }
  SECTION("the last channel that flows completes each checkpoint alone") {
    CHECK(take(aligner.on_end_of_channel(0)) == nothing);
    CHECK(take(aligner.on_end_of_channel(1)) == nothing);
    CHECK(take(aligner.on_barrier(2, barrier(1, mode))) == Decisions{completed(barrier(1, mode))});
    CHECK_FALSE(aligner.is_blocked(2));
  }
  SECTION("once all channels have ended, everything is ignored") {
    for (const std::size_t channel : {0, 1, 2})
      CHECK(take(aligner.on_end_of_channel(channel)) == nothing);
    CHECK(take(aligner.on_barrier(0, barrier(1, mode))) == nothing);
    CHECK(take(aligner.on_cancel_marker(1, {{2}})) == nothing);
    CHECK(aligner.abort({3}) == nothing);
  }
  SECTION("anything behind the end of a channel is corruption while others flow") {
    CHECK(take(aligner.on_end_of_channel(1)) == nothing);
    CHECK(aligner.on_barrier(1, barrier(1, mode)).error().code == Errc::corruption);
    CHECK(aligner.on_cancel_marker(1, {{1}}).error().code == Errc::corruption);
    CHECK(aligner.on_end_of_channel(1).error().code == Errc::corruption);
  }
}

SCENARIO("at-least-once: barriers are counted and nothing waits", "[runtime]") {
  GIVEN("a task with two channels, one of which is two checkpoints ahead") {
    BarrierAligner aligner{2};
    CHECK(take(aligner.on_barrier(0, counted(1))) == nothing);
    CHECK(take(aligner.on_barrier(0, counted(2))) == nothing);
    CHECK(blocked(aligner, 2) == "..");
    CHECK_FALSE(aligner.aligning());

    WHEN("the other follows") {
      THEN("each checkpoint completes on its last barrier") {
        CHECK(take(aligner.on_barrier(1, counted(1))) == Decisions{completed(counted(1))});
        CHECK(take(aligner.on_barrier(1, counted(2))) == Decisions{completed(counted(2))});
      }
    }
    WHEN("the other skips one") {
      THEN("the completion of the newer one drops the older") {
        CHECK(take(aligner.on_barrier(1, counted(2))) ==
              Decisions{subsumed(1), completed(counted(2))});
        CHECK(take(aligner.on_barrier(1, counted(1))) == nothing);
      }
    }
    WHEN("a barrier comes twice") {
      THEN("the stream is corrupt") {
        CHECK(aligner.on_barrier(0, counted(2)).error().code == Errc::corruption);
      }
    }
    WHEN("the other ends (A5)") {
      THEN("both complete, in order") {
        CHECK(take(aligner.on_end_of_channel(1)) ==
              Decisions{completed(counted(1)), completed(counted(2))});
      }
    }
    WHEN("the older one is cancelled") {
      THEN("the newer one goes on") {
        CHECK(take(aligner.on_cancel_marker(1, {{1}})) == Decisions{cancelled(1)});
        CHECK(take(aligner.on_barrier(1, counted(2))) == Decisions{completed(counted(2))});
      }
    }
    WHEN("a third is cancelled by the channel that is behind (A8)") {
      THEN("all three are given up, in order") {
        CHECK(take(aligner.on_cancel_marker(1, {{3}})) ==
              Decisions{subsumed(1), subsumed(2), cancelled(3)});
      }
    }
    WHEN("a third is cancelled by the channel that is ahead") {
      THEN("the older ones can still complete; the marker goes downstream behind their barriers") {
        CHECK(take(aligner.on_cancel_marker(0, {{3}})) == nothing);
        CHECK(take(aligner.on_barrier(1, counted(1))) == Decisions{completed(counted(1))});
        CHECK(take(aligner.on_barrier(1, counted(2))) ==
              Decisions{completed(counted(2)), cancelled(3)});
        CHECK(take(aligner.on_barrier(1, counted(3))) == nothing);
      }
    }
    WHEN("the coordinator aborts the newer one") {
      THEN("its marker, too, goes behind the older barrier") {
        CHECK(aligner.abort({2}) == nothing);
        CHECK(take(aligner.on_barrier(1, counted(1))) ==
              Decisions{completed(counted(1)), notified(2)});
        CHECK(take(aligner.on_barrier(1, counted(2))) == nothing);
      }
    }
    WHEN("a savepoint follows on the channel that is ahead") {
      CHECK(take(aligner.on_barrier(0, barrier(3))) == nothing);
      THEN("that channel waits, and the counted ones complete before it") {
        CHECK(blocked(aligner, 2) == "#.");
        CHECK(take(aligner.on_barrier(1, counted(1))) == Decisions{completed(counted(1))});
        CHECK(take(aligner.on_barrier(1, counted(2))) == Decisions{completed(counted(2))});
        CHECK(blocked(aligner, 2) == "#.");
        CHECK(take(aligner.on_barrier(1, barrier(3))) == Decisions{completed(barrier(3))});
        CHECK(blocked(aligner, 2) == "..");
      }
      THEN("its abort lets the channel go at once") {
        CHECK(aligner.abort({3}) == nothing);
        CHECK(blocked(aligner, 2) == "..");
      }
    }
  }
}

TEST_CASE("an abort that arrives before the barriers is reported in its place in the stream",
          "[runtime]") {
  BarrierAligner aligner{2};
  CHECK(aligner.abort({6}) == nothing);
  CHECK(take(aligner.on_barrier(0, barrier(5))) == nothing);
  CHECK(take(aligner.on_barrier(1, barrier(5))) == Decisions{completed(barrier(5))});
  CHECK(take(aligner.on_barrier(0, barrier(6))) == Decisions{notified(6)});
  CHECK(blocked(aligner, 2) == "..");
  CHECK(take(aligner.on_barrier(1, barrier(6))) == nothing);
  CHECK(take(aligner.on_cancel_marker(1, {{7}})) == Decisions{cancelled(7)});
}

TEST_CASE("at most 50 checkpoints are under way; the oldest gives way", "[runtime]") {
  BarrierAligner aligner{2};
  for (std::uint64_t id = 1; id <= BarrierAligner::max_pending; ++id)
    REQUIRE(take(aligner.on_barrier(0, counted(id))) == nothing);
  CHECK(take(aligner.on_barrier(0, counted(51))) ==
        Decisions{aborted(1, AlignmentAbortReason::limit_exceeded)});
  CHECK(take(aligner.on_barrier(1, counted(1))) == nothing);
  CHECK(take(aligner.on_barrier(1, counted(2))) == Decisions{completed(counted(2))});
}

TEST_CASE("a flood of cancelled and aborted ids is decided once each", "[runtime]") {
  BarrierAligner aligner{2};
  for (std::uint64_t id = 1; id <= 1000; ++id)
    REQUIRE(take(aligner.on_cancel_marker(0, {{id}})) == Decisions{cancelled(id)});
  for (std::uint64_t id = 1; id <= 1000; ++id)
    REQUIRE(take(aligner.on_cancel_marker(1, {{id}})) == nothing);
  for (std::uint64_t id = 1001; id <= 2000; ++id) REQUIRE(aligner.abort({id}) == nothing);
  // Of those, the newest 50 are remembered.
  CHECK(take(aligner.on_barrier(0, counted(1950))) == nothing);
  CHECK(take(aligner.on_cancel_marker(0, {{1950}})) == Decisions{cancelled(1950)});
  CHECK(take(aligner.on_barrier(0, counted(1951))) == Decisions{notified(1951)});
}

TEST_CASE("every reason has its sentence", "[runtime]") {
  CHECK(to_sentence({{7}, AlignmentAbortReason::on_cancellation_barrier}) ==
        "checkpoint 7 was given up by a task upstream");
  std::set<std::string> sentences;
  for (const auto& reason : weir_enumerators(TypeTag<AlignmentAbortReason>{}).enumerators)
    sentences.insert(to_sentence({{7}, reason.value}));
  CHECK(sentences.size() == 4);
}

// ---- Every interleaving of a small world, against an oracle that looks at the whole history ----------

constexpr std::uint64_t last_id = 2;

enum class Kind { barrier, cancel, end, abort };
struct Event {
  Kind kind;
  std::size_t channel = 0;
  std::uint64_t id = 0;
};

struct World {
  std::size_t channels;
  std::array<Alignment, last_id + 1> mode;  ///< by checkpoint id
  bool with_aborts;
};

/// What must have been decided and who must be blocked after `history`, from first principles: a
/// checkpoint begins with the first event about it unless a newer one came first; it is lost when a channel
/// cancels it or goes past it, or when it is aborted; it is complete when every channel delivered it or
/// ended.
struct Oracle {
  Decisions decisions;
  std::vector<bool> blocked;
  std::optional<CheckpointId> aligning;

  Oracle(const World& world, const std::vector<Event>& history) : blocked(world.channels) {
    const unsigned all = (1U << world.channels) - 1;
    for (const Event& event : history) {
      if (ended_ == all) break;
      apply(event);
      for (Checkpoint& checkpoint : checkpoints_) {
        if (checkpoint.begun && !checkpoint.lost)
          checkpoint.complete = (checkpoint.arrived | ended_) == all;
      }
    }
    for (std::uint64_t id = 1; id <= last_id; ++id) {
      if (!checkpoints_[id].waits() || world.mode[id] == Alignment::at_least_once) continue;
      aligning = CheckpointId{id};
      for (std::size_t channel = 0; channel < world.channels; ++channel)
        blocked[channel] = (checkpoints_[id].arrived >> channel & 1U) != 0;
    }
    for (std::uint64_t id = 1; id <= last_id && !checkpoints_[id].waits(); ++id) {
      const Checkpoint& checkpoint = checkpoints_[id];
      if (checkpoint.complete) decisions.push_back(completed(barrier(id, world.mode[id])));
      if (checkpoint.begun && checkpoint.lost) decisions.push_back(aborted(id, *checkpoint.lost));
    }
  }

 private:
  struct Checkpoint {
    bool begun = false;
    bool complete = false;
    unsigned arrived = 0;  ///< one bit per channel
    std::optional<AlignmentAbortReason> lost;

    [[nodiscard]] bool waits() const { return begun && !complete && !lost; }
    void lose(AlignmentAbortReason reason) {
      if (!complete && !lost) lost = reason;
    }
  };

  void apply(const Event& event) {
    const unsigned bit = 1U << event.channel;
    Checkpoint& checkpoint = checkpoints_[event.id];
    if (event.kind == Kind::end) ended_ |= bit;
    if (event.kind == Kind::abort) checkpoint.lose(AlignmentAbortReason::notified);
    if (event.kind != Kind::barrier && event.kind != Kind::cancel) return;
    for (std::uint64_t older = 1; older < event.id; ++older) {
      if (checkpoints_[older].begun && (checkpoints_[older].arrived & bit) == 0)
        checkpoints_[older].lose(AlignmentAbortReason::subsumed);
    }
    if (event.id > newest_) checkpoint.begun = true;
    newest_ = std::max(newest_, event.id);
    if (event.kind == Kind::barrier) checkpoint.arrived |= bit;
    if (event.kind == Kind::cancel) checkpoint.lose(AlignmentAbortReason::on_cancellation_barrier);
  }

  std::array<Checkpoint, last_id + 1> checkpoints_;  ///< by id
  unsigned ended_ = 0;                               ///< one bit per channel
  std::uint64_t newest_ = 0;
};

class Explorer {
 public:
  explicit Explorer(World world) : world_(world), passed_(world.channels), ended_(world.channels) {}

  void explore() { explore(BarrierAligner{world_.channels}, {}); }
  [[nodiscard]] std::size_t visited() const { return visited_; }

 private:
  // NOLINTNEXTLINE(misc-no-recursion): a depth-first search, at most nine deep.
  void explore(const BarrierAligner& aligner, const Decisions& decisions) {
    ++visited_;
    for (std::size_t channel = 0; channel < world_.channels; ++channel) {
      if (ended_[channel] || aligner.is_blocked(channel)) continue;
      const std::uint64_t before = passed_[channel];
      for (std::uint64_t id = before + 1; id <= last_id; ++id) {
        passed_[channel] = id;
        step(aligner, decisions, {Kind::barrier, channel, id});
        step(aligner, decisions, {Kind::cancel, channel, id});
      }
      passed_[channel] = before;
      ended_[channel] = true;
      step(aligner, decisions, {Kind::end, channel});
      ended_[channel] = false;
    }
    if (!world_.with_aborts) return;
    for (std::uint64_t id = 1; id <= last_id; ++id) {
      if (!aborted_.insert(id).second) continue;
      step(aligner, decisions, {Kind::abort, 0, id});
      aborted_.erase(id);
    }
  }

  // NOLINTNEXTLINE(misc-no-recursion)
  void step(BarrierAligner aligner, Decisions decisions, Event event) {
    history_.push_back(event);
    const auto made = apply(aligner, event);
    decisions.insert(decisions.end(), made.begin(), made.end());
    check(aligner, decisions);
    explore(aligner, decisions);
    history_.pop_back();
  }

  [[nodiscard]] Decisions apply(BarrierAligner& aligner, Event event) const {
    switch (event.kind) {
      case Kind::barrier:
        return take(aligner.on_barrier(event.channel, barrier(event.id, world_.mode[event.id])));
      case Kind::cancel:
        return take(aligner.on_cancel_marker(event.channel, {{event.id}}));
      case Kind::end:
        return take(aligner.on_end_of_channel(event.channel));
      case Kind::abort:
        return aligner.abort({event.id});
    }
    return {};
  }

  /// Catch's assertions are slow, hence one for all of it.
  void check(const BarrierAligner& aligner, const Decisions& decisions) const {
    const Oracle oracle(world_, history_);
    bool right = decisions == oracle.decisions && aligner.aligning() == oracle.aligning;
    bool somebody_flows = false;
    bool somebody_waits = false;
    for (std::size_t channel = 0; channel < world_.channels; ++channel) {
      right = right && aligner.is_blocked(channel) == oracle.blocked[channel];
      somebody_waits = somebody_waits || aligner.is_blocked(channel);
      somebody_flows = somebody_flows || (!aligner.is_blocked(channel) && !ended_[channel]);
    }
    // What waits has something to wait for, and decisions ascend, so that no id occurs twice.
    right = right && somebody_waits == aligner.aligning().has_value() &&
            (!somebody_waits || somebody_flows);
    std::uint64_t newest = 0;
    for (const AlignmentDecision& decision : decisions) {
      const auto* aligned = std::get_if<CheckpointAligned>(&decision);
      const std::uint64_t id = aligned != nullptr ? aligned->barrier.id.value
                                                  : std::get<AlignmentAborted>(decision).id.value;
      right = right && id > newest;
      newest = id;
    }
    if (!right) FAIL(print());
  }

  [[nodiscard]] std::string print() const {
    constexpr std::array kinds = {"barrier ", "cancel marker ", "end ", "abort "};
    std::string text;
    for (const Event& event : history_) {
      text += kinds[static_cast<std::size_t>(event.kind)] + std::to_string(event.id) +
              " on channel " + std::to_string(event.channel) + "\n";
    }
    return text;
  }

  const World world_;
  std::vector<std::uint64_t> passed_;  ///< by channel: the newest id it delivered
  std::vector<bool> ended_;
  std::set<std::uint64_t> aborted_;
  std::vector<Event> history_;
  std::size_t visited_ = 0;
};

TEST_CASE("in every interleaving of two checkpoints the aligner decides as the history demands",
          "[runtime]") {
  using enum Alignment;
  const auto first = GENERATE(exactly_once, at_least_once);
  const auto second = GENERATE(exactly_once, at_least_once);
  SECTION("two channels, with aborts by the coordinator") {
    Explorer explorer({2, {exactly_once, first, second}, true});
    explorer.explore();
    CHECK(explorer.visited() > 10000);
  }
  SECTION("three channels") {
    Explorer explorer({3, {exactly_once, first, second}, false});
    explorer.explore();
    CHECK(explorer.visited() > 100000);
  }
}

}  // namespace
}  // namespace weir
