#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "runtime/events.hpp"
#include "state/result.hpp"

namespace weir {

/// Why a task gives up a checkpoint whose barriers it was bringing together.
enum class AlignmentAbortReason : std::uint8_t {
  subsumed,                 ///< a channel went on to a newer checkpoint without delivering this one
  on_cancellation_barrier,  ///< a channel delivered the cancel marker of this checkpoint
  limit_exceeded,           ///< more than `BarrierAligner::max_pending` checkpoints were under way
  notified                  ///< the coordinator has aborted it and knows: nothing to decline
};
WEIR_ENUM(AlignmentAbortReason, subsumed, on_cancellation_barrier, limit_exceeded, notified)

/// Every channel has delivered this barrier: perform the checkpoint and forward the barrier, before
/// anything else is taken from any channel.
struct CheckpointAligned {
  CheckpointBarrier barrier;
  bool operator==(const CheckpointAligned&) const = default;
};

/// This checkpoint will not be performed here: broadcast a CancelCheckpointMarker for it to every
/// output and, unless the reason is `notified`, decline it.
struct AlignmentAborted {
  CheckpointId id;
  AlignmentAbortReason reason = AlignmentAbortReason::subsumed;
  bool operator==(const AlignmentAborted&) const = default;
};

using AlignmentDecision = std::variant<CheckpointAligned, AlignmentAborted>;
/// To be carried out in this order. Mostly empty.
using AlignmentDecisions = std::vector<AlignmentDecision>;

/// The sentence for people that a decline carries.
[[nodiscard]] std::string to_sentence(const AlignmentAborted& aborted);

/// Brings the barriers of a task's input channels together. It holds no data and performs nothing:
/// it decides which checkpoint is performed or given up, and which channels must not be read
/// meanwhile.
///
/// How: a barrier says in `options.alignment` what its checkpoint wants.
/// - Exactly-once: between the first and the last barrier, the channels that have delivered it are
///   blocked, so that no record of the next checkpoint can reach the state of this one. Nothing is
///   spilled: a blocked channel is held back by its own bound.
/// - At-least-once: nothing is blocked; barriers are counted, for up to `max_pending` checkpoints.
///
/// A channel delivers ids in ascending order, each as barrier or cancel marker. So when it delivers
/// one, every older id that it has not delivered is lost and given up (subsumed). The end of a
/// channel counts as its barrier for every checkpoint that it has not delivered.
///
/// Promises: each id is decided at most once, and decisions come in ascending order of ids, so that
/// what goes downstream ascends too; an id that is given up while an older one is still awaited
/// (at-least-once only) is reported behind it.
///
/// Source: Carbone et al., "Lightweight Asynchronous Snapshots for Distributed Dataflows", 2015;
/// Flink 1.2 BarrierBuffer and BarrierTracker, with the end of a channel as in FLIP-147. Threads:
/// none of its own; belongs to one task.
class BarrierAligner {
 public:
  /// Checkpoints under way at once, and aborted ids remembered ahead of their barriers.
  static constexpr std::size_t max_pending = 50;

  /// `channel_count` is at least 1. Channels are numbered 0 up to, not including, `channel_count`.
  explicit BarrierAligner(std::size_t channel_count);

  /// Records that `barrier` arrived on `channel`, which must not be blocked. An id that was already
  /// decided, or is older than the newest one seen and not under way, is ignored; so is everything
  /// once all channels have ended. Errors: `corruption` if the channel delivers this barrier twice,
  /// has ended, or disagrees with another channel on the checkpoint's options: the stream is
  /// corrupt and the task fails.
  [[nodiscard]] Result<AlignmentDecisions> on_barrier(std::size_t channel,
                                                      const CheckpointBarrier& barrier);

  /// Records that a barrier will not come on `channel`, which must not be blocked: gives up its
  /// checkpoint, begun or not, and with it what `on_barrier` would. Errors: `corruption` if the
  /// channel has ended.
  [[nodiscard]] Result<AlignmentDecisions> on_cancel_marker(std::size_t channel,
                                                            CancelCheckpointMarker marker);

  /// Records that the producer behind `channel`, which must not be blocked, is gone for good. (The
  /// end of its data, `EndOfInput`, is something else: barriers still follow that.) May complete
  /// checkpoints. Errors: `corruption` if the channel had ended before.
  [[nodiscard]] Result<AlignmentDecisions> on_end_of_channel(std::size_t channel);

  /// Gives up `id` because the coordinator did, and lets blocked channels go. If no channel has
  /// delivered it yet, it is remembered and reported when the first one does, in its place in the
  /// stream.
  [[nodiscard]] AlignmentDecisions abort(CheckpointId id);

  /// Whether `channel` must not be read: it waits for the other channels.
  [[nodiscard]] bool is_blocked(std::size_t channel) const { return blocked_[channel]; }
  /// The exactly-once checkpoint that channels are blocked for.
  [[nodiscard]] std::optional<CheckpointId> aligning() const { return aligning_; }

 private:
  /// A checkpoint that at least one channel has delivered and that is not decided yet.
  struct Pending {
    CheckpointBarrier barrier;
    std::vector<bool> delivered;  ///< by channel; ended ones count
    std::size_t missing = 0;      ///< channels not in `delivered`
    std::optional<AlignmentAbortReason> given_up;
  };

  [[nodiscard]] Pending* find(CheckpointId id);
  /// Gives up what `channel` skipped by delivering `id`.
  void subsume_skipped(std::size_t channel, CheckpointId id);
  Pending& begin(const CheckpointBarrier& barrier);
  void deliver(Pending& pending, std::size_t channel);
  void give_up(Pending& pending, AlignmentAbortReason reason);
  /// Lets blocked channels go if they wait for `id`.
  void release(CheckpointId id);
  /// Takes from the front of `pending_` what is decided.
  [[nodiscard]] AlignmentDecisions settle();

  std::size_t open_channels_;
  std::vector<bool> ended_;    ///< by channel
  std::vector<bool> blocked_;  ///< by channel
  std::optional<CheckpointId> aligning_;
  /// Ascending ids, at most `max_pending`. An exactly-once one can only be the last, as the
  /// channels that delivered it are blocked and the others would subsume it.
  std::deque<Pending> pending_;
  /// An id up to this one that is not in `pending_` is over.
  CheckpointId newest_seen_{0};
  /// Aborted by the coordinator, newer than `newest_seen_`; at most `max_pending`.
  std::set<CheckpointId> aborted_ahead_;
};

}  // namespace weir
