#include "network/record_frame.hpp"

#include <cstring>

#include "state/bytes.hpp"
#include "state/key_groups.hpp"

namespace weir {

namespace {

/// "WRF" and the version of the format, 1.
constexpr std::uint32_t magic = 0x01465257;
constexpr std::size_t header_checksum_bytes = sizeof(std::uint64_t);

}  // namespace

FrameWriter::FrameWriter(std::string& out) : out_(out), begin_(out.size()) {
  out_.append(frame_header_bytes, '\0');
}

void FrameWriter::finish(const FrameHeader& header) {
  const std::size_t length = payload_bytes();
  WEIR_ASSERT(length <= max_frame_payload_bytes);
  const std::string_view payload = std::string_view(out_).substr(begin_ + frame_header_bytes);
  const ChannelId& channel = header.channel;
  std::string bytes;
  bytes.reserve(frame_header_bytes);
  ByteWriter writer(bytes);
  writer.number(magic);
  writer.number(static_cast<std::uint32_t>(length));
  writer.number(header.number);
  writer.number(channel.job.high);
  writer.number(channel.job.low);
  writer.number(channel.fence.epoch.value);
  writer.number(channel.fence.attempt);
  writer.number(channel.edge);
  writer.number(channel.producer);
  writer.number(channel.consumer);
  writer.number(static_cast<std::uint32_t>(header.kind));
  writer.number(std::uint64_t{hash_bytes(payload)});
  writer.number(std::uint64_t{hash_bytes(bytes)});
  WEIR_ASSERT(bytes.size() == frame_header_bytes);
  std::memcpy(out_.data() + begin_, bytes.data(), frame_header_bytes);
}

void FrameReader::feed(std::string_view bytes) {
  if (failure_) return;
  // What has been read goes before the buffer grows.
  buffer_.erase(0, begin_);
  begin_ = 0;
  buffer_.append(bytes);
}

std::unexpected<Error> FrameReader::refuse(const std::string& why) {
  failure_ = {Errc::corruption, "frame " + std::to_string(frames_) + ": " + why};
  buffer_.clear();
  begin_ = 0;
  return std::unexpected(*failure_);
}

Result<std::optional<Frame>> FrameReader::next() {
  if (failure_) return std::unexpected(*failure_);
  const std::string_view bytes = std::string_view(buffer_).substr(begin_);
  // Another protocol is told from another version, and both from damage, as soon as can be.
  if (bytes.size() < sizeof(magic)) return std::nullopt;
  std::uint32_t found = 0;
  std::memcpy(&found, bytes.data(), sizeof(found));
  if (found != magic) {
    constexpr std::uint32_t without_version = 0x00ffffff;
    if ((found & without_version) == (magic & without_version))
      return refuse("it is of version " + std::to_string(found >> 24) +
                    " of the format, this process knows version 1");
    return refuse("it does not begin as frames of records do");
  }
  if (bytes.size() < frame_header_bytes) return std::nullopt;
  const std::string_view head = bytes.substr(0, frame_header_bytes);
  ByteReader reader(head);
  Frame frame;
  ChannelId& channel = frame.header.channel;
  (void)reader.number<std::uint32_t>();
  const auto length = reader.number<std::uint32_t>();
  frame.header.number = reader.number<std::uint64_t>();
  channel.job.high = reader.number<std::uint64_t>();
  channel.job.low = reader.number<std::uint64_t>();
  channel.fence.epoch.value = reader.number<std::uint64_t>();
  channel.fence.attempt = reader.number<std::uint32_t>();
  channel.edge = reader.number<std::uint32_t>();
  channel.producer = reader.number<std::uint32_t>();
  channel.consumer = reader.number<std::uint32_t>();
  const auto kind = reader.number<std::uint32_t>();
  const auto payload_checksum = reader.number<std::uint64_t>();
  const auto header_checksum = reader.number<std::uint64_t>();
  if (hash_bytes(head.substr(0, frame_header_bytes - header_checksum_bytes)) != header_checksum)
    return refuse("the checksum of its header does not fit");
  if (length > max_frame_payload_bytes)
    return refuse("its payload has " + std::to_string(length) + " bytes; " +
                  std::to_string(max_frame_payload_bytes) + " are the most");
  if (kind < static_cast<std::uint32_t>(FrameKind::batch) ||
      kind > static_cast<std::uint32_t>(FrameKind::keep_alive))
    return refuse("its kind is " + std::to_string(kind) + ", which there is none of");
  frame.header.kind = static_cast<FrameKind>(kind);
  if (bytes.size() < frame_header_bytes + length) return std::nullopt;
  frame.payload = bytes.substr(frame_header_bytes, length);
  if (hash_bytes(frame.payload) != payload_checksum)
    return refuse("the checksum of its payload does not fit");
  begin_ += frame_header_bytes + length;
  ++frames_;
  return frame;
}

}  // namespace weir
