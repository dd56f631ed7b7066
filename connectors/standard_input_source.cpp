#include "connectors/standard_input_source.hpp"

#include "connectors/source_begin.hpp"

namespace weir {

Status StandardInputSource::open(OperatorContext& context) {
  context_ = &context;
  if (context.is_restored())
    return error(Errc::invalid_argument,
                 "standard input cannot be read again from a snapshot; give a file with --input");
  WEIR_TRY(require_one_subtask(context, "standard input"));
  WEIR_TRY_ASSIGN(feed, context.standard_streams().read_input(context.waker()));
  feed_ = std::move(feed);
  return {};
}

PollResult StandardInputSource::poll() {
  auto& out = output_.collector();
  const MonotonicTime now = context_->clock().now();
  const std::uint64_t allowed = pacer_.allowance(now, batch_capacity_records);
  if (allowed == 0) {
    context_->wake_at(pacer_.next_time(now));
    return PollResult::nothing_now;
  }
  std::uint64_t lines = 0;
  bool starved = false;  // no whole line has arrived
  while (lines < allowed && !out.full() && !starved) {
    const auto line = next_line();
    if (line) {
      out.collect(std::string(*line));
      ++lines;
      ++lines_;
    } else {
      starved = !take_more();
    }
  }
  pacer_.count(lines);
  if (!starved) return PollResult::more;
  return feed_ ? PollResult::nothing_now : PollResult::end;
}

std::optional<std::string_view> StandardInputSource::next_line() {
  const std::size_t newline = buffer_.find('\n', searched_);
  const bool rest = newline == std::string::npos && !feed_ && line_ < buffer_.size();
  const std::size_t end = rest ? buffer_.size() : newline;
  const std::size_t length = (end == std::string::npos ? buffer_.size() : end) - line_;
  if (length > max_line_bytes_)
    throw OperatorError({Errc::limit_exceeded, "standard input: line " +
                                                   std::to_string(lines_ + 1) + " is longer than " +
                                                   std::to_string(max_line_bytes_) + " bytes"});
  searched_ = buffer_.size();
  if (end == std::string::npos) return std::nullopt;
  const std::string_view line(buffer_.data() + line_, length);
  line_ = searched_ = rest ? end : end + 1;
  return line;
}

bool StandardInputSource::take_more() {
  if (!feed_) return false;
  buffer_.erase(0, line_);
  searched_ -= line_;
  line_ = 0;
  const std::size_t before = buffer_.size();
  const bool open = value_or_throw(feed_->take(buffer_));
  if (!open) feed_.reset();
  return !open || buffer_.size() > before;
}

}  // namespace weir
