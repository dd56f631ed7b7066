#include "connectors/text_source.hpp"

#include <algorithm>
#include <utility>

#include "connectors/source_begin.hpp"

namespace weir {
namespace {

/// Each subtask should get this many splits, so that none is left with much more than the others.
constexpr std::uint64_t splits_per_subtask = 4;
/// But none smaller than this: opening a file takes as long as reading a few of these.
constexpr std::uint64_t smallest_split_bytes = 64 << 10;
/// One `poll` opens at most so many files, however short they are.
constexpr std::size_t opens_per_poll = 16;

/// Cuts `splits` where they are longer than `split_bytes`.
std::vector<FileSplit> cut(const std::vector<FileSplit>& splits, std::uint64_t split_bytes) {
  std::vector<FileSplit> result;
  for (const FileSplit& split : splits) {
    for (std::uint64_t begin = split.begin; begin < split.end;) {
      const std::uint64_t end = begin + std::min(split_bytes, split.end - begin);
      result.push_back({split.path, begin, end, begin});
      begin = end;
    }
  }
  return result;
}

}  // namespace

Status TextSource::open(OperatorContext& context) {
  context_ = &context;
  WEIR_TRY_ASSIGN(begins, source_begins(context));
  WEIR_TRY_ASSIGN(state, context.operator_state().list_state<FileSplit>("splits"));
  state_ = state;
  std::uint32_t sharing = context.parallelism();
  if (begins) {
    WEIR_TRY_ASSIGN(with_share, take_share());
    sharing = std::max<std::uint32_t>(with_share, 1);
  } else {
    waiting_.assign(state_->get().begin(), state_->get().end());
  }
  pacer_.emplace(options_.lines_per_second
                     ? std::optional(*options_.lines_per_second / static_cast<double>(sharing))
                     : std::nullopt);
  return {};
}

Result<std::uint32_t> TextSource::take_share() {
  WEIR_TRY_ASSIGN(splits, input_splits(context_->files(), options_.paths, options_.split_bytes));
  std::uint64_t total_bytes = 0;
  for (const FileSplit& split : splits) total_bytes += split.end - split.begin;
  const std::uint32_t parallelism = context_->parallelism();
  const std::uint64_t even_bytes = total_bytes / (splits_per_subtask * parallelism);
  const auto shares = cut(splits, std::max(even_bytes, smallest_split_bytes));
  for (std::size_t i = context_->subtask(); i < shares.size(); i += parallelism)
    waiting_.push_back(shares[i]);
  return static_cast<std::uint32_t>(std::min<std::size_t>(shares.size(), parallelism));
}

PollResult TextSource::poll() {
  auto& out = output_.collector();
  const MonotonicTime now = context_->clock().now();
  const std::uint64_t allowed = pacer_->allowance(now, batch_capacity_records);
  std::uint64_t lines = 0;
  std::size_t opens = 0;
  while (lines < allowed && !out.full()) {
    if (!reading_) {
      if (waiting_.empty() || opens == opens_per_poll) break;
      ++opens;
      reading_ =
          value_or_throw(LineSplitter::open(context_->files(), waiting_.front(), options_.limits));
      waiting_.pop_front();
    }
    const auto line = value_or_throw(reading_->next());
    if (line) {
      out.collect(std::string(*line));
      ++lines;
    } else {
      reading_.reset();
    }
  }
  pacer_->count(lines);
  if (!reading_ && waiting_.empty()) return PollResult::end;
  if (allowed > 0) return PollResult::more;
  context_->wake_at(pacer_->next_time(now));
  return PollResult::nothing_now;
}

Status TextSource::snapshot_state(const CheckpointBarrier&) {
  std::vector<FileSplit> left;
  if (reading_) left.push_back(reading_->split());
  left.insert(left.end(), waiting_.begin(), waiting_.end());
  state_->update(std::move(left));
  return {};
}

}  // namespace weir
