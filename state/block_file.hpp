#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "state/checkpoint_storage.hpp"
#include "state/file_system.hpp"
#include "state/result.hpp"

namespace weir {

/// The container of every snapshot file (docs/formats/snapshot.md): blocks of 64 KiB, the last one
/// shorter, nothing behind it. A block is
///
///   checksum u64 | file id u64 | block number u64 | payload length u32 | flags u32 | payload
///
/// The checksum is XXH3-64, seed 0, of everything in the block behind it. All blocks but the last are
/// full; bit 0 of `flags` marks the last. So a truncated, extended, flipped, swapped, stale or foreign
/// block is noticed wherever it is read. An empty payload is one block without payload.
inline constexpr std::size_t block_size_bytes = 65536;
inline constexpr std::size_t block_header_bytes = 32;
inline constexpr std::size_t block_payload_bytes = block_size_bytes - block_header_bytes;

/// No payload is larger than this; a larger size in a handle is damage.
inline constexpr std::uint64_t payload_limit_bytes = std::uint64_t{1} << 56;

/// How many blocks hold `payload_bytes`, which is at most `payload_limit_bytes`.
[[nodiscard]] constexpr std::uint64_t block_count(std::uint64_t payload_bytes) {
  return payload_bytes == 0 ? 1 : (payload_bytes + block_payload_bytes - 1) / block_payload_bytes;
}
/// Bytes on disk of `payload_bytes` in blocks.
[[nodiscard]] constexpr std::uint64_t block_file_bytes(std::uint64_t payload_bytes) {
  return payload_bytes + block_count(payload_bytes) * block_header_bytes;
}

/// Cuts a payload into blocks. Buffers one block: each byte is copied once.
/// Threads: one at a time.
class BlockWriter {
 public:
  /// Appends blocks to `out`, which outlives the writer. `file_id` is drawn at random per file.
  BlockWriter(StorageOutput& out, std::uint64_t file_id);
  /// Appends to the payload. Errors: those of `out`; afterwards the file is to be given up.
  [[nodiscard]] Status append(std::string_view bytes);
  /// Writes the last block. Nothing may be appended afterwards.
  [[nodiscard]] Status finish();
  /// Payload bytes appended so far.
  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }

 private:
  [[nodiscard]] Status write_block(bool last);

  StorageOutput& out_;
  const std::uint64_t file_id_;
  std::uint64_t block_number_ = 0;
  std::uint64_t size_bytes_ = 0;
  std::size_t filled_ = block_header_bytes;  ///< bytes of `block_` in use
  std::unique_ptr<char[]> block_;
};

/// Reads ranges of a payload and verifies every block it touches, each once as long as the reads go
/// forward.
/// Threads: one at a time.
class BlockReader {
 public:
  /// Takes `file`, which must hold exactly `payload_bytes` in blocks of `file_id`. Checks its size and
  /// its last block. Errors: `corruption`, `io_error`, with `path`, offset and reason.
  [[nodiscard]] static Result<std::unique_ptr<BlockReader>> open(std::unique_ptr<InputFile> file,
                                                                 std::string path,
                                                                 std::uint64_t file_id,
                                                                 std::uint64_t payload_bytes);
  /// Exactly `length` payload bytes at `offset`. Errors: as `open`; a range beyond the payload is
  /// `corruption` too, found before anything is allocated.
  [[nodiscard]] Result<std::string> read(std::uint64_t offset, std::uint64_t length);
  /// Reads and verifies every block.
  [[nodiscard]] Status verify_all();
  [[nodiscard]] std::uint64_t payload_bytes() const { return payload_bytes_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  BlockReader(std::unique_ptr<InputFile> file, std::string path, std::uint64_t file_id,
              std::uint64_t payload_bytes);
  /// Makes block `first` part of the window, reading up to `count` blocks from there.
  [[nodiscard]] Status load_window(std::uint64_t first, std::uint64_t count);

  const std::unique_ptr<InputFile> file_;
  const std::string path_;
  const std::uint64_t file_id_;
  const std::uint64_t payload_bytes_;
  std::string window_;              ///< verified blocks, headers included
  std::uint64_t window_first_ = 0;  ///< number of the window's first block
  std::uint64_t window_count_ = 0;
};

/// A small file as a whole: a header of 40 bytes (magic, version, file id, body length, XXH3-64 of
/// the 32 bytes before) and the body in blocks. The header keeps its shape in every version.
/// `magic` is 8 characters. Returns every byte of the file.
[[nodiscard]] std::string encode_document(std::string_view magic, std::uint64_t version,
                                          std::uint64_t file_id, std::string_view body);
/// The body of a document. `noun` says what it should be, such as "snapshot metadata".
/// Errors: `corruption`, or `unsupported` if it was written by a version above `newest_version`.
[[nodiscard]] Result<std::string> decode_document(std::string_view bytes, const std::string& path,
                                                  std::string_view magic,
                                                  std::uint64_t newest_version,
                                                  std::string_view noun);

/// Publishes `bytes` as the file `path`: afterwards it is durable, or not there. Never replaces.
/// Errors: `already_exists`, `io_error`; `unavailable` if the file could neither be made durable nor
/// removed, so that nobody knows whether it will be there after a crash.
[[nodiscard]] Status publish_file(CheckpointStorage& storage, const std::string& path,
                                  std::string_view bytes);
/// Reads all of `path`. Errors: `not_found`, `io_error`; `limit_exceeded` beyond `limit_bytes`.
[[nodiscard]] Result<std::string> read_stored_file(CheckpointStorage& storage,
                                                   const std::string& path,
                                                   std::uint64_t limit_bytes);

}  // namespace weir
