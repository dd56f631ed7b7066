#include "network/record_frame.hpp"

#include <cstring>
#include <vector>

#include <catch2/catch.hpp>

#include "simulation/seeded_random.hpp"
#include "state/key_groups.hpp"
#include "test/format_vectors.hpp"

namespace weir {
namespace {

const ChannelId some_channel{
    {0x0123456789abcdefU, 0xfedcba9876543210U}, {LeaderEpoch{3}, 2}, 1, 4, 5};

std::string frame_of(const FrameHeader& header, std::string_view payload) {
  std::string out;
  FrameWriter frame(out);
  out += payload;
  frame.finish(header);
  return out;
}

/// `bytes` with the number of type `T` at `offset` replaced, and the checksum of the header made good.
template <class T>
std::string forged(std::string bytes, std::size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(value));
  const std::uint64_t checksum = hash_bytes(std::string_view(bytes).substr(0, 68));
  std::memcpy(bytes.data() + 68, &checksum, sizeof(checksum));
  return bytes;
}

/// What a reader says of `bytes`: the error, or nothing.
std::string complaint_about(std::string_view bytes) {
  FrameReader reader;
  reader.feed(bytes);
  const auto frame = reader.next();
  if (frame) return "";
  CHECK(frame.error().code == Errc::corruption);
  // It says so for good.
  reader.feed(frame_of({FrameKind::keep_alive, {}, 0}, ""));
  const auto again = reader.next();
  REQUIRE_FALSE(again);
  CHECK(again.error() == frame.error());
  return frame.error().what;
}

TEST_CASE("frames come out of a stream as they went in, in pieces of any size", "[network]") {
  struct Sent {
    FrameHeader header;
    std::string payload;
  };
  const std::vector<Sent> sent{{{FrameKind::batch, some_channel, 0}, std::string(1000, 'x')},
                               {{FrameKind::watermark, some_channel, 1}, "12345678"},
                               {{FrameKind::end_of_input, some_channel, 2}, ""},
                               {{FrameKind::keep_alive, {}, 3}, ""},
                               {{FrameKind::credit, some_channel, ~std::uint64_t{0}}, "limit"}};
  std::string stream;
  for (const Sent& one : sent) stream += frame_of(one.header, one.payload);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{76}, stream.size()}) {
    FrameReader reader;
    std::size_t found = 0;
    for (std::size_t begin = 0; begin < stream.size(); begin += piece) {
      reader.feed(std::string_view(stream).substr(begin, piece));
      for (;;) {
        const auto frame = reader.next();
        REQUIRE(frame);
        if (!*frame) break;
        REQUIRE(found < sent.size());
        CHECK((*frame)->header == sent[found].header);
        CHECK((*frame)->payload == sent[found].payload);
        ++found;
      }
    }
    CHECK(found == sent.size());
  }
}

TEST_CASE("a frame looks as its format says", "[network]") {
  const std::string bytes = frame_of({FrameKind::watermark, some_channel, 9}, "12345678");
  CHECK(test::hex(bytes) ==
        "57524601080000000900000000000000efcdab89674523011032547698badcfe0300000000000000"
        "0200000001000000040000000500000002000000f62e9ead4c9be2620f970826b72ca391"
        "3132333435363738");
  CHECK(test::is_documented(test::hex(bytes), "record-frames.md"));
}

TEST_CASE("a flipped bit anywhere in a frame is noticed", "[network]") {
  const std::string bytes = frame_of({FrameKind::batch, some_channel, 1}, "some records");
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    CHECK_FALSE(complaint_about(flipped).empty());
  }
}

TEST_CASE("a part of a frame is no frame yet", "[network]") {
  const std::string bytes = frame_of({FrameKind::batch, some_channel, 1}, "some records");
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    FrameReader reader;
    reader.feed(std::string_view(bytes).substr(0, length));
    const auto frame = reader.next();
    REQUIRE(frame);
    CHECK_FALSE(*frame);
  }
}

TEST_CASE("a malformed frame is refused with what is wrong with it", "[network]") {
  const std::string bytes = frame_of({FrameKind::batch, some_channel, 1}, "some records");
  CHECK(complaint_about("GET / HTTP/1.1\r\n") ==
        "frame 0: it does not begin as frames of records do");
  CHECK(complaint_about(std::string("WRF\x02", 4)) ==
        "frame 0: it is of version 2 of the format, this process knows version 1");
  // The length of a header that does not verify is not believed, however short the frame is.
  std::string long_one = bytes;
  long_one[7] = '\x7f';
  CHECK(complaint_about(long_one) == "frame 0: the checksum of its header does not fit");
  CHECK(complaint_about(forged(bytes, 4, std::uint32_t{64 * 1024 * 1024 + 1})) ==
        "frame 0: its payload has 67108865 bytes; 67108864 are the most");
  CHECK(complaint_about(forged(bytes, 56, std::uint32_t{0})) ==
        "frame 0: its kind is 0, which there is none of");
  CHECK(complaint_about(forged(bytes, 56, std::uint32_t{11})) ==
        "frame 0: its kind is 11, which there is none of");
  CHECK(complaint_about(forged(bytes, 56, std::uint32_t{257})) ==
        "frame 0: its kind is 257, which there is none of");
  std::string other_payload = bytes;
  other_payload.back() = 'X';
  CHECK(complaint_about(other_payload) == "frame 0: the checksum of its payload does not fit");
  CHECK(complaint_about(forged(bytes, 4, std::uint32_t{11})) ==
        "frame 0: the checksum of its payload does not fit");
}

TEST_CASE("bytes that are no frames are refused", "[network]") {
  SeededRandom random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = round % 2 == 0 ? std::string("WRF\x01", 4) : std::string();
    for (std::uint64_t left = 80 + random.below(100); left > 0; --left)
      bytes.push_back(static_cast<char>(random.below(256)));
    CHECK_FALSE(complaint_about(bytes).empty());
  }
}

TEST_CASE("a frame that was begun can be taken back", "[network]") {
  std::string out = frame_of({FrameKind::keep_alive, {}, 0}, "");
  const std::string before = out;
  FrameWriter frame(out);
  out += "some records";
  CHECK(frame.payload_bytes() == 12);
  frame.abandon();
  CHECK(out == before);
}

}  // namespace
}  // namespace weir
