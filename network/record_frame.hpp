#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/channel_id.hpp"
#include "state/result.hpp"

namespace weir {

/// What a frame between two processes holds. The numbers are those of the wire.
enum class FrameKind : std::uint8_t {
  // From the producer of a channel: what flows through it, in its order.
  batch = 1,
  watermark = 2,
  barrier = 3,
  cancel_marker = 4,
  end_of_input = 5,
  end_of_partition = 6,
  // From its consumer.
  open = 7,    ///< it is ready, and takes so many bytes (u64)
  credit = 8,  ///< it takes so many bytes, counted from the beginning of the channel (u64)
  close = 9,   ///< it takes nothing more
  // Of no channel.
  keep_alive = 10
};
/// Whether frames of `kind` hold what flows through a channel.
[[nodiscard]] constexpr bool is_element(FrameKind kind) {
  return kind <= FrameKind::end_of_partition;
}

/// What stands before the payload of a frame.
struct FrameHeader {
  FrameKind kind = FrameKind::keep_alive;
  ChannelId channel;         ///< all zero if it is of none
  std::uint64_t number = 0;  ///< among the frames of its connection in its direction, from 0
  bool operator==(const FrameHeader&) const = default;
};

/// Bytes of a header. docs/formats/record-frames.md says where each is.
inline constexpr std::size_t frame_header_bytes = 76;
/// A frame with a longer payload is neither written nor read.
inline constexpr std::size_t max_frame_payload_bytes = std::size_t{64} * 1024 * 1024;

/// Writes one frame: what is appended to `out` between the construction and `finish` is its payload.
/// Threads: none of its own.
class FrameWriter {
 public:
  /// `out` outlives the writer.
  explicit FrameWriter(std::string& out);
  /// Bytes of the payload so far.
  [[nodiscard]] std::size_t payload_bytes() const {
    return out_.size() - begin_ - frame_header_bytes;
  }
  /// Fills in the header. The payload has at most `max_frame_payload_bytes`.
  void finish(const FrameHeader& header);
  /// Takes back what was begun.
  void abandon() { out_.resize(begin_); }

 private:
  std::string& out_;
  std::size_t begin_;
};

/// One frame as it was read.
struct Frame {
  FrameHeader header;
  std::string_view payload;
};

/// Reads frames from a stream of bytes that comes in pieces of any size. Every byte of a frame is under a
/// checksum, and a length is believed only once that of its header fits, so no more is kept than what has
/// come: one unfinished frame at most, if `next` is called until there is none.
/// Threads: none of its own.
class FrameReader {
 public:
  void feed(std::string_view bytes);
  /// The next frame; none if more bytes are needed for it. Its payload is valid until the next call of
  /// either function. Errors: `corruption`, with the frame and what is wrong with it, and so from then on.
  [[nodiscard]] Result<std::optional<Frame>> next();

 private:
  [[nodiscard]] std::unexpected<Error> refuse(const std::string& why);

  std::string buffer_;
  std::size_t begin_ = 0;     ///< of what has not been read yet
  std::uint64_t frames_ = 0;  ///< read so far
  std::optional<Error> failure_;
};

}  // namespace weir
