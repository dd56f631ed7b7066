#include "network/outgoing_channel.hpp"

#include <algorithm>
#include <utility>

#include "state/thrown.hpp"

namespace weir {

void OutgoingChannel::grant(std::uint64_t limit_bytes) {
  limit_bytes_ = std::max(limit_bytes_, limit_bytes);
}

bool OutgoingChannel::can_send() { return sent_bytes_ < limit_bytes_ && !ended_ && !is_drained(); }

Status OutgoingChannel::write_next(std::uint64_t number, std::string& out) {
  const std::size_t begin = out.size();
  FrameWriter frame(out);
  auto kind = write_payload(frame, out);
  if (!kind) {
    frame.abandon();
    return std::unexpected(std::move(kind.error()));
  }
  frame.finish({*kind, id_, number});
  sent_bytes_ += out.size() - begin;
  ended_ = *kind == FrameKind::end_of_partition;
  return {};
}

Result<FrameKind> OutgoingChannel::write_payload(FrameWriter& frame, std::string& out) {
  ByteWriter writer(out);
  if (batch_ == nullptr) {
    StreamElement element = queue_->pop();
    struct Visitor {
      OutgoingChannel& channel;
      ByteWriter& writer;
      FrameKind operator()(std::unique_ptr<AnyBatch>& batch) const {
        channel.batch_ = std::move(batch);
        channel.next_record_ = 0;
        return FrameKind::batch;
      }
      FrameKind operator()(const Watermark& watermark) const {
        weir::encode(watermark, writer);
        return FrameKind::watermark;
      }
      FrameKind operator()(const CheckpointBarrier& barrier) const {
        weir::encode(barrier, writer);
        return FrameKind::barrier;
      }
      FrameKind operator()(const CancelCheckpointMarker& marker) const {
        weir::encode(marker, writer);
        return FrameKind::cancel_marker;
      }
      FrameKind operator()(const EndOfInput&) const { return FrameKind::end_of_input; }
      FrameKind operator()(const EndOfPartition&) const { return FrameKind::end_of_partition; }
    };
    const FrameKind kind = std::visit(Visitor{*this, writer}, element);
    if (kind != FrameKind::batch) return kind;
  }
  try {
    next_record_ = batch_->encode_some(next_record_, frame_target_bytes, writer);
  } catch (...) {
    return error(Errc::user_function_failed,
                 "the code that writes a record for another process threw" + thrown_text());
  }
  if (frame.payload_bytes() > max_frame_payload_bytes)
    return error(Errc::limit_exceeded, "a record takes " + std::to_string(frame.payload_bytes()) +
                                           " bytes on its way to another process; " +
                                           std::to_string(max_frame_payload_bytes) +
                                           " are the most: let the job make smaller ones");
  if (next_record_ == batch_->size()) queue_->recycle(std::exchange(batch_, nullptr));
  return FrameKind::batch;
}

}  // namespace weir
