#include "network/incoming_channel.hpp"

#include <utility>

#include "state/thrown.hpp"

namespace weir {

IncomingChannel::IncomingChannel(ChannelId id, std::shared_ptr<Channel> queue,
                                 std::function<std::unique_ptr<AnyBatch>()> make_batch,
                                 std::size_t window_bytes)
    : id_(id),
      queue_(std::move(queue)),
      make_batch_(std::move(make_batch)),
      window_bytes_(window_bytes) {
  WEIR_ASSERT(window_bytes > 0);
}

Status IncomingChannel::receive(FrameKind kind, std::string_view payload) {
  if (end_received_)
    return error(Errc::corruption, to_string(id_) + ": a frame came behind the end of the channel");
  if (received_bytes_ >= limit_bytes_)
    return error(Errc::corruption, to_string(id_) + ": a frame came for which no credit was given");
  received_bytes_ += frame_header_bytes + payload.size();
  end_received_ = kind == FrameKind::end_of_partition;
  waiting_.push_back({kind, std::string(payload)});
  return {};
}

Result<bool> IncomingChannel::move_on() {
  bool moved = false;
  while (!waiting_.empty() && queue_->has_room()) {
    WEIR_TRY(put(waiting_.front()));
    waiting_.pop_front();
    moved = true;
  }
  return moved;
}

Status IncomingChannel::put(const Waiting& frame) {
  WEIR_TRY_ASSIGN(element, decode(frame));
  queue_->push(std::move(element));
  consumed_bytes_ += frame_header_bytes + frame.payload.size();
  ended_ = frame.kind == FrameKind::end_of_partition;
  return {};
}

Result<StreamElement> IncomingChannel::decode(const Waiting& frame) {
  ByteReader reader(frame.payload);
  const auto whole = [&](auto element) -> Result<StreamElement> {
    weir::decode(reader, element);
    if (reader.complete()) return StreamElement(std::move(element));
    return error(Errc::corruption, to_string(id_) + ": an event does not decode");
  };
  switch (frame.kind) {
    case FrameKind::watermark:
      return whole(Watermark{});
    case FrameKind::barrier:
      return whole(CheckpointBarrier{});
    case FrameKind::cancel_marker:
      return whole(CancelCheckpointMarker{});
    case FrameKind::end_of_input:
      return whole(EndOfInput{});
    case FrameKind::end_of_partition:
      if (!frame.payload.empty())
        return error(Errc::corruption, to_string(id_) + ": the end of the channel has a payload");
      return StreamElement(EndOfPartition{});
    default:
      break;
  }
  auto batch = queue_->take_spent();
  if (batch == nullptr) batch = make_batch_();
  Status decoded;
  try {
    decoded = batch->decode(reader);
  } catch (...) {
    return error(
        Errc::user_function_failed,
        to_string(id_) + ": the code that reads a record of another process threw" + thrown_text());
  }
  if (!decoded || !reader.complete())
    return error(Errc::corruption,
                 to_string(id_) +
                     ": records of another process do not decode; the job's code must "
                     "be the same in all processes");
  return StreamElement(std::move(batch));
}

std::optional<std::uint64_t> IncomingChannel::take_credit() {
  if (end_received_) return std::nullopt;
  const std::uint64_t limit = consumed_bytes_ + window_bytes_;
  // Half a window at a time: a frame of credit for each frame of records would be too many.
  if (limit - limit_bytes_ < (window_bytes_ + 1) / 2) return std::nullopt;
  limit_bytes_ = limit;
  return limit;
}

}  // namespace weir
