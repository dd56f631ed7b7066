#include "runtime/barrier_aligner.hpp"

#include <algorithm>
#include <utility>

namespace weir {

std::string to_sentence(const AlignmentAborted& aborted) {
  const std::string checkpoint = "checkpoint " + std::to_string(aborted.id.value);
  switch (aborted.reason) {
    case AlignmentAbortReason::subsumed:
      return checkpoint +
             " was overtaken by a newer one before its barrier arrived on all channels";
    case AlignmentAbortReason::on_cancellation_barrier:
      return checkpoint + " was given up by a task upstream";
    case AlignmentAbortReason::limit_exceeded:
      return checkpoint + " was still incomplete when " +
             std::to_string(BarrierAligner::max_pending) + " newer ones had begun";
    case AlignmentAbortReason::notified:
      return checkpoint + " was aborted by the coordinator";
  }
  return checkpoint + " was given up";
}

BarrierAligner::BarrierAligner(std::size_t channel_count)
    : open_channels_(channel_count), ended_(channel_count), blocked_(channel_count) {
  WEIR_ASSERT(channel_count >= 1);
}

Result<AlignmentDecisions> BarrierAligner::on_barrier(std::size_t channel,
                                                      const CheckpointBarrier& barrier) {
  if (open_channels_ == 0) return AlignmentDecisions{};
  const auto corrupt = [&](const char* how) {
    return error(Errc::corruption, "barrier of checkpoint " + std::to_string(barrier.id.value) +
                                       how + std::to_string(channel));
  };
  if (ended_[channel]) return corrupt(" arrived behind the end of input channel ");
  Pending* pending = find(barrier.id);
  if (pending != nullptr && !pending->given_up) {
    if (pending->delivered[channel]) return corrupt(" arrived twice on input channel ");
    if (pending->barrier != barrier) return corrupt(" has other options on input channel ");
  }
  WEIR_ASSERT(!blocked_[channel]);

  subsume_skipped(channel, barrier.id);
  // An older id that is not under way is over: it was decided, or the first channel to go past it had
  // skipped it.
  if (pending == nullptr && barrier.id > newest_seen_) pending = &begin(barrier);
  if (pending != nullptr && !pending->given_up) deliver(*pending, channel);
  return settle();
}

Result<AlignmentDecisions> BarrierAligner::on_cancel_marker(std::size_t channel,
                                                            CancelCheckpointMarker marker) {
  if (open_channels_ == 0) return AlignmentDecisions{};
  if (ended_[channel]) {
    return error(Errc::corruption,
                 "cancel marker of checkpoint " + std::to_string(marker.id.value) +
                     " arrived behind the end of input channel " + std::to_string(channel));
  }
  WEIR_ASSERT(!blocked_[channel]);

  subsume_skipped(channel, marker.id);
  Pending* pending = find(marker.id);
  // Begun only to be given up: so it is reported in its turn, and later barriers cannot start it.
  if (pending == nullptr && marker.id > newest_seen_) pending = &begin({marker.id, 0, {}});
  if (pending != nullptr) give_up(*pending, AlignmentAbortReason::on_cancellation_barrier);
  return settle();
}

Result<AlignmentDecisions> BarrierAligner::on_end_of_channel(std::size_t channel) {
  if (ended_[channel])
    return error(Errc::corruption, "input channel " + std::to_string(channel) + " ended twice");
  WEIR_ASSERT(!blocked_[channel]);

  ended_[channel] = true;
  --open_channels_;
  for (Pending& pending : pending_) {
    if (pending.delivered[channel]) continue;
    pending.delivered[channel] = true;
    --pending.missing;
  }
  AlignmentDecisions decisions = settle();
  if (open_channels_ == 0) {
    WEIR_ASSERT(pending_.empty());
    aborted_ahead_.clear();
  }
  return decisions;
}

AlignmentDecisions BarrierAligner::abort(CheckpointId id) {
  if (Pending* pending = find(id)) {
    give_up(*pending, AlignmentAbortReason::notified);
  } else if (id > newest_seen_ && open_channels_ > 0) {
    // Not reported now: its cancel marker would overtake barriers of older checkpoints downstream.
    aborted_ahead_.insert(id);
    // Forgetting one is safe: its alignment then ends as if the notification had been lost.
    if (aborted_ahead_.size() > max_pending) aborted_ahead_.erase(aborted_ahead_.begin());
  }
  return settle();
}

BarrierAligner::Pending* BarrierAligner::find(CheckpointId id) {
  const auto found =
      std::ranges::find(pending_, id, [](const Pending& pending) { return pending.barrier.id; });
  return found == pending_.end() ? nullptr : &*found;
}

void BarrierAligner::subsume_skipped(std::size_t channel, CheckpointId id) {
  for (Pending& pending : pending_) {
    if (pending.barrier.id < id && !pending.delivered[channel])
      give_up(pending, AlignmentAbortReason::subsumed);
  }
}

BarrierAligner::Pending& BarrierAligner::begin(const CheckpointBarrier& barrier) {
  if (pending_.size() == max_pending)
    give_up(pending_.front(), AlignmentAbortReason::limit_exceeded);
  newest_seen_ = barrier.id;
  Pending& pending = pending_.emplace_back(barrier, ended_, open_channels_);
  if (aborted_ahead_.contains(barrier.id)) give_up(pending, AlignmentAbortReason::notified);
  aborted_ahead_.erase(aborted_ahead_.begin(), aborted_ahead_.upper_bound(newest_seen_));
  return pending;
}

void BarrierAligner::deliver(Pending& pending, std::size_t channel) {
  pending.delivered[channel] = true;
  --pending.missing;
  if (pending.barrier.options.alignment == Alignment::exactly_once) {
    blocked_[channel] = true;
    aligning_ = pending.barrier.id;
  }
}

void BarrierAligner::give_up(Pending& pending, AlignmentAbortReason reason) {
  if (pending.given_up) return;
  pending.given_up = reason;
  release(pending.barrier.id);
}

void BarrierAligner::release(CheckpointId id) {
  if (aligning_ != id) return;
  blocked_.assign(blocked_.size(), false);
  aligning_.reset();
}

AlignmentDecisions BarrierAligner::settle() {
  AlignmentDecisions decisions;
  while (!pending_.empty()) {
    Pending& oldest = pending_.front();
    const CheckpointId id = oldest.barrier.id;
    if (oldest.given_up) {
      decisions.emplace_back(AlignmentAborted{id, *oldest.given_up});
    } else if (oldest.missing == 0) {
      release(id);
      decisions.emplace_back(CheckpointAligned{std::move(oldest.barrier)});
    } else {
      break;
    }
    pending_.pop_front();
  }
  return decisions;
}

}  // namespace weir
