#include "state/block_file.hpp"

#include <catch2/catch.hpp>

#include "test/sanitized.hpp"
#include "test/state/memory_storage.hpp"

namespace weir {
namespace {

using test::CountedRandom;
using test::MemoryFile;
using test::MemoryStorage;

constexpr std::uint64_t file_id = 0x1122334455667788U;
const std::string path = "/d/file";

std::string random_bytes(std::size_t size, std::uint64_t seed = 1) {
  CountedRandom random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.next());
  return bytes;
}

/// The file of `payload`, written in pieces of `piece` bytes.
std::string written(std::string_view payload, std::size_t piece = 4096,
                    std::uint64_t id = file_id) {
  MemoryStorage storage;
  auto output = storage.create(path);
  REQUIRE(output);
  BlockWriter writer(**output, id);
  for (std::size_t at = 0; at < payload.size(); at += piece)
    REQUIRE(writer.append(payload.substr(at, piece)));
  CHECK(writer.size_bytes() == payload.size());
  REQUIRE(writer.finish());
  REQUIRE((*output)->publish());
  return storage.bytes(path);
}

Result<std::unique_ptr<BlockReader>> opened(const std::string& bytes, std::uint64_t payload_bytes,
                                            std::uint64_t id = file_id) {
  return BlockReader::open(std::make_unique<MemoryFile>(std::make_shared<std::string>(bytes)), path,
                           id, payload_bytes);
}

/// What opening and reading everything says of `bytes`, empty if it finds nothing wrong.
std::string complaint(const std::string& bytes, std::uint64_t payload_bytes) {
  auto reader = opened(bytes, payload_bytes);
  if (!reader) return reader.error().what;
  const auto payload = (*reader)->read(0, payload_bytes);
  if (!payload) return payload.error().what;
  return {};
}

/// As `complaint`, but changes `bytes` in place and back: for a million cases.
bool flip_is_noticed(const std::shared_ptr<std::string>& bytes, std::size_t bit,
                     std::uint64_t payload_bytes) {
  (*bytes)[bit / 8] = static_cast<char>((*bytes)[bit / 8] ^ (1 << bit % 8));
  auto reader =
      BlockReader::open(std::make_unique<MemoryFile>(bytes), path, file_id, payload_bytes);
  const bool noticed = !reader || !(*reader)->verify_all();
  (*bytes)[bit / 8] = static_cast<char>((*bytes)[bit / 8] ^ (1 << bit % 8));
  return noticed;
}

SCENARIO("a payload of any size reads back from its blocks", "[state]") {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, block_payload_bytes - 1, block_payload_bytes,
        block_payload_bytes + 1, 2 * block_payload_bytes, std::size_t{3'000'000}}) {
    const std::string payload = random_bytes(size);
    const std::string bytes = written(payload);
    REQUIRE(bytes.size() == block_file_bytes(size));
    CHECK(bytes == written(payload, 1 << 20));
    CHECK(bytes == written(payload, 777));
    auto reader = opened(bytes, size);
    REQUIRE(reader);
    CHECK((*reader)->read(0, size) == payload);
    CHECK((*reader)->verify_all());
    CHECK((*reader)->payload_bytes() == size);
    // Forwards in small steps, backwards, and across every border.
    for (std::size_t at = 0; at < size; at += 10'007)
      REQUIRE((*reader)->read(at, std::min<std::size_t>(10'007, size - at)) ==
              payload.substr(at, 10'007));
    for (std::size_t at = size; at > 60'000; at -= 60'000)
      REQUIRE((*reader)->read(at - 60'000, 60'000) == payload.substr(at - 60'000, 60'000));
    CHECK((*reader)->read(size, 0) == "");
  }
}

TEST_CASE("a range beyond the payload is refused before anything is allocated", "[state]") {
  const std::string bytes = written(random_bytes(100));
  auto reader = opened(bytes, 100);
  REQUIRE(reader);
  for (const auto& [offset, length] :
       std::vector<std::pair<std::uint64_t, std::uint64_t>>{{0, 101},
                                                            {100, 1},
                                                            {101, 0},
                                                            {1, ~std::uint64_t{0}},
                                                            {~std::uint64_t{0}, 2},
                                                            {50, std::uint64_t{1} << 50}}) {
    const auto failed = (*reader)->read(offset, length);
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == Errc::corruption);
    CHECK_THAT(failed.error().what, Catch::StartsWith(path + ": "));
  }
  CHECK_FALSE(opened(bytes, ~std::uint64_t{0}));
  CHECK_FALSE(opened(bytes, payload_limit_bytes + 1));
}

TEST_CASE("a longer read behind a shorter one, up to a short last block, yields what was written",
          "[state]") {
  // Blocks are read together, into room that grows: here from two blocks to somewhat more.
  const std::string payload = random_bytes(4 * block_payload_bytes + 3864);
  const std::string bytes = written(payload);
  for (const std::size_t first : {std::size_t{1}, std::size_t{2}, std::size_t{3}}) {
    auto reader = opened(bytes, payload.size());
    REQUIRE(reader);
    for (const std::size_t end : {first * block_payload_bytes, payload.size()}) {
      const std::size_t begin = end == payload.size() ? first * block_payload_bytes : 0;
      const auto read = (*reader)->read(begin, end - begin);
      REQUIRE(read);
      CHECK(*read == payload.substr(begin, end - begin));
    }
  }
}

TEST_CASE("reading forwards reads and verifies every block once", "[state]") {
  const std::string payload = random_bytes(10 * block_payload_bytes);
  const std::string bytes = written(payload);
  auto file = std::make_unique<MemoryFile>(std::make_shared<std::string>(bytes));
  MemoryFile* const counted = file.get();
  auto reader = BlockReader::open(std::move(file), path, file_id, payload.size());
  REQUIRE(reader);
  const std::uint64_t at_open = counted->bytes_read;
  CHECK(at_open == block_size_bytes);
  for (std::size_t at = 0; at < payload.size(); at += 64)
    REQUIRE((*reader)->read(at, std::min<std::size_t>(64, payload.size() - at)));
  CHECK(counted->bytes_read - at_open == bytes.size());
}

SCENARIO("every flipped bit of a file of several blocks is noticed", "[state]") {
  const std::size_t size = block_payload_bytes + 300;
  const auto bytes = std::make_shared<std::string>(written(random_bytes(size)));
  std::size_t unnoticed = 0;
  constexpr std::size_t stride = test::sanitized ? 61 : 1;  // no factor in common with 8
  for (std::size_t bit = 0; bit < bytes->size() * 8; bit += stride)
    if (!flip_is_noticed(bytes, bit, size)) ++unnoticed;
  CHECK(unnoticed == 0);
  CHECK(complaint(*bytes, size).empty());
}

TEST_CASE("every flipped bit of a small and of an empty file is noticed", "[state]") {
  for (const std::size_t size : {0U, 1U, 100U}) {
    const auto bytes = std::make_shared<std::string>(written(random_bytes(size)));
    for (std::size_t bit = 0; bit < bytes->size() * 8; ++bit)
      REQUIRE(flip_is_noticed(bytes, bit, size));
  }
}

TEST_CASE("a file that ends early or late is noticed wherever it ends", "[state]") {
  const std::size_t size = block_payload_bytes + 300;
  const std::string bytes = written(random_bytes(size));
  for (std::size_t end = 0; end < bytes.size();
       end += end < 200 || end > bytes.size() - 800 ? 1 : 509) {
    const std::string what = complaint(bytes.substr(0, end), size);
    REQUIRE_THAT(what, Catch::Contains("is truncated: it ends at offset " + std::to_string(end)));
  }
  for (const std::size_t more : {std::size_t{1}, std::size_t{1000}, block_size_bytes})
    REQUIRE_THAT(
        complaint(bytes + std::string(more, '\0'), size),
        Catch::Contains("has been extended behind offset " + std::to_string(bytes.size())));
  // A whole valid file of another length under this name.
  CHECK_FALSE(complaint(written(random_bytes(size - 1)), size).empty());
  CHECK_FALSE(complaint(written(random_bytes(size + 1)), size).empty());
}

SCENARIO("a block that belongs elsewhere is noticed and the reason is given", "[state]") {
  GIVEN("a file of three full blocks and a rest") {
    const std::size_t size = 3 * block_payload_bytes + 10;
    const std::string bytes = written(random_bytes(size));
    const auto block = [](const std::string& from, std::size_t number) {
      return from.substr(number * block_size_bytes, block_size_bytes);
    };
    WHEN("two blocks are swapped") {
      const std::string swapped =
          block(bytes, 1) + block(bytes, 0) + bytes.substr(2 * block_size_bytes);
      THEN("the first one is named") {
        CHECK(complaint(swapped, size) ==
              path + ": block 0 at offset 0 is misplaced: it is block 1");
      }
    }
    WHEN("a block comes from another file") {
      const std::string other = written(random_bytes(size), 4096, file_id + 1);
      std::string mixed = bytes;
      mixed.replace(block_size_bytes, block_size_bytes, block(other, 1));
      THEN("it is called foreign") {
        CHECK(complaint(mixed, size) == path + ": block 1 at offset 65536 belongs to another file");
        CHECK_THAT(complaint(other, size), Catch::Contains("belongs to another file"));
      }
    }
    WHEN("a block is left from a shorter version of the same file") {
      const std::string shorter = written(random_bytes(2 * block_payload_bytes));
      std::string mixed = bytes;
      mixed.replace(block_size_bytes, block_size_bytes, block(shorter, 1));
      THEN("its last mark gives it away") {
        CHECK_THAT(complaint(mixed, size), Catch::Contains("block 1 at offset 65536 does not fit"));
      }
    }
    WHEN("a block is zeroed") {
      std::string zeroed = bytes;
      zeroed.replace(2 * block_size_bytes, block_size_bytes, std::string(block_size_bytes, '\0'));
      THEN("its checksum does not match") {
        CHECK_THAT(complaint(zeroed, size), Catch::Contains("block 2 at offset 131072 is damaged"));
      }
      THEN("a read that does not touch it still works, one that touches it never does") {
        auto reader = opened(zeroed, size);
        REQUIRE(reader);
        CHECK((*reader)->read(0, 100));
        CHECK_FALSE((*reader)->read(2 * block_payload_bytes + 5, 1));
        CHECK_FALSE((*reader)->read(2 * block_payload_bytes + 5, 1));
        CHECK((*reader)->read(100, 100));
      }
    }
  }
}

TEST_CASE("a failed append to the file is passed on", "[state]") {
  MemoryStorage storage;
  auto output = storage.create(path);
  storage.failing = "append " + path;
  BlockWriter writer(**output, file_id);
  CHECK(writer.append(random_bytes(block_payload_bytes)));
  CHECK_FALSE(writer.append("x"));
}

SCENARIO("a document reads back and nothing else passes for it", "[state]") {
  const std::string magic = "WEIRTEST";
  const std::string body = random_bytes(300);
  const auto read = [&](std::string_view bytes, std::uint64_t newest = 3) {
    return decode_document(bytes, path, magic, newest, "test document");
  };
  const std::string bytes = encode_document(magic, 3, file_id, body);
  THEN("it reads back, small, empty and of several blocks") {
    CHECK(read(bytes) == body);
    CHECK(read(encode_document(magic, 1, 0, "")) == "");
    const std::string large = random_bytes(150'000);
    CHECK(read(encode_document(magic, 1, file_id, large)) == large);
  }
  THEN("every flipped bit, every truncation and every extension is noticed") {
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      std::string flipped = bytes;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      const auto result = read(flipped);
      REQUIRE_FALSE(result);
      REQUIRE(result.error().code == Errc::corruption);
    }
    for (std::size_t size = 0; size < bytes.size(); ++size)
      REQUIRE_FALSE(read(bytes.substr(0, size)));
    REQUIRE_FALSE(read(bytes + std::string(1, '\0')));
  }
  THEN("a newer version is refused as such") {
    const auto newer = read(bytes, 2);
    REQUIRE_FALSE(newer);
    CHECK(newer.error().code == Errc::unsupported);
    CHECK_THAT(newer.error().what, Catch::Contains("written by a newer version"));
  }
  THEN("another kind of file is called no such document") {
    for (const std::string& other : {std::string(), std::string("hello"), std::string(1000, '\0'),
                                     encode_document("WEIRPNTR", 1, 1, body)}) {
      const auto result = read(other);
      REQUIRE_FALSE(result);
      CHECK_THAT(result.error().what, Catch::Contains("is no Weir test document"));
    }
  }
}

SCENARIO("a file is published or known not to be there", "[state]") {
  MemoryStorage storage;
  WHEN("everything works") {
    REQUIRE(publish_file(storage, path, "bytes"));
    THEN("it is there and is not replaced") {
      CHECK(read_stored_file(storage, path, 5) == "bytes");
      CHECK(read_stored_file(storage, path, 4).error().code == Errc::limit_exceeded);
      CHECK(publish_file(storage, path, "other").error().code == Errc::already_exists);
      CHECK(storage.bytes(path) == "bytes");
      CHECK(storage.temporaries.empty());
    }
  }
  WHEN("it cannot be written") {
    storage.failing = GENERATE("create /d/file", "append /d/file", "publish /d/file");
    THEN("nothing is left and the reason is given") {
      const Status failed = publish_file(storage, path, "bytes");
      REQUIRE_FALSE(failed);
      CHECK(failed.error() == storage.failure);
      CHECK(storage.files.empty());
      CHECK(storage.temporaries.empty());
    }
  }
  WHEN("it cannot be told whether it is there") {
    storage.failing = "publish /d/file";
    storage.put(path, "half-published");
    THEN("the outcome is said to be unknown") {
      CHECK(publish_file(storage, path, "bytes").error().code == Errc::unavailable);
    }
  }
}

}  // namespace
}  // namespace weir
