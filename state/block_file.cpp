#include "state/block_file.hpp"

#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#endif
#include <algorithm>
#include <cstring>

#include <xxhash.h>

#include "state/bytes.hpp"

namespace weir {
namespace {

constexpr std::size_t checksum_bytes = 8;
constexpr std::uint32_t last_flag = 1;
/// A read that spans several blocks fetches this many at once: 1 MiB.
constexpr std::uint64_t blocks_per_read = 16;
constexpr std::size_t magic_bytes = 8;
constexpr std::size_t document_header_bytes = 40;

/// The header of a block behind its checksum.
struct BlockHeader {
  std::uint64_t file_id;
  std::uint64_t number;
  std::uint32_t length;
  std::uint32_t flags;
};
static_assert(sizeof(BlockHeader) + checksum_bytes == block_header_bytes);

/// Completes `block`, whose payload is in place behind the header.
void seal_block(char* block, const BlockHeader& header) {
  std::memcpy(block + checksum_bytes, &header, sizeof(header));
  const std::uint64_t checksum =
      XXH3_64bits(block + checksum_bytes, sizeof(header) + header.length);
  std::memcpy(block, &checksum, checksum_bytes);
}

std::string block_place(const std::string& path, std::uint64_t number, std::uint64_t offset) {
  return path + ": block " + std::to_string(number) + " at offset " + std::to_string(offset);
}

/// Verifies one whole block as it lies in its file. `offset` is where, for the error sentence.
Status verify_block(std::string_view block, const BlockHeader& expected, const std::string& path,
                    std::uint64_t offset) {
  const auto damaged = [&](const std::string& reason) {
    return error(Errc::corruption, block_place(path, expected.number, offset) + " " + reason);
  };
  ByteReader reader(block);
  const auto stored = reader.number<std::uint64_t>();
  BlockHeader found{};
  found.file_id = reader.number<std::uint64_t>();
  found.number = reader.number<std::uint64_t>();
  found.length = reader.number<std::uint32_t>();
  found.flags = reader.number<std::uint32_t>();
  WEIR_ASSERT(block.size() == block_header_bytes + expected.length);
  if (XXH3_64bits(block.data() + checksum_bytes, block.size() - checksum_bytes) != stored)
    return damaged("is damaged: its checksum does not match");
  if (found.file_id != expected.file_id) return damaged("belongs to another file");
  if (found.number != expected.number)
    return damaged("is misplaced: it is block " + std::to_string(found.number));
  if (found.length != expected.length || found.flags != expected.flags)
    return damaged("does not fit the file's length: blocks are missing or too many");
  return {};
}

BlockHeader expected_header(std::uint64_t file_id, std::uint64_t payload_bytes,
                            std::uint64_t number) {
  const bool last = number + 1 == block_count(payload_bytes);
  const auto length = last ? payload_bytes - number * block_payload_bytes : block_payload_bytes;
  return {file_id, number, static_cast<std::uint32_t>(length), last ? last_flag : 0};
}

Status check_size(const std::string& path, std::uint64_t size, std::uint64_t expected) {
  if (size == expected) return {};
  const std::string sizes = std::to_string(size) + " bytes instead of " + std::to_string(expected);
  return error(Errc::corruption, path + ": " +
                                     (size < expected ? "is truncated: it ends at offset "
                                                      : "has been extended behind offset ") +
                                     std::to_string(std::min(size, expected)) + " (" + sizes + ")");
}

}  // namespace

BlockWriter::BlockWriter(StorageOutput& out, std::uint64_t file_id)
    : out_(out),
      file_id_(file_id),
      block_(std::make_unique_for_overwrite<char[]>(block_size_bytes)) {}

Status BlockWriter::append(std::string_view bytes) {
  while (!bytes.empty()) {
    // A full block waits for the next byte, because the last one is marked.
    if (filled_ == block_size_bytes) WEIR_TRY(write_block(false));
    const std::size_t part = std::min(bytes.size(), block_size_bytes - filled_);
    std::memcpy(block_.get() + filled_, bytes.data(), part);
    bytes.remove_prefix(part);
    filled_ += part;
    size_bytes_ += part;
  }
  return {};
}

Status BlockWriter::finish() { return write_block(true); }

Status BlockWriter::write_block(bool last) {
  seal_block(block_.get(),
             {file_id_, block_number_, static_cast<std::uint32_t>(filled_ - block_header_bytes),
              last ? last_flag : 0});
  const std::string_view block(block_.get(), filled_);
  ++block_number_;
  filled_ = block_header_bytes;
  return out_.append(block);
}

BlockReader::BlockReader(std::unique_ptr<InputFile> file, std::string path, std::uint64_t file_id,
                         std::uint64_t payload_bytes)
    : file_(std::move(file)),
      path_(std::move(path)),
      file_id_(file_id),
      payload_bytes_(payload_bytes) {}

Result<std::unique_ptr<BlockReader>> BlockReader::open(std::unique_ptr<InputFile> file,
                                                       std::string path, std::uint64_t file_id,
                                                       std::uint64_t payload_bytes) {
  if (payload_bytes > payload_limit_bytes) {
    return error(Errc::corruption, path + ": " + std::to_string(payload_bytes) +
                                       " bytes are more than a file can have");
  }
  WEIR_TRY_ASSIGN(size, file->size());
  WEIR_TRY(check_size(path, size, block_file_bytes(payload_bytes)));
  std::unique_ptr<BlockReader> reader(
      new BlockReader(std::move(file), std::move(path), file_id, payload_bytes));
  WEIR_TRY(reader->load_window(block_count(payload_bytes) - 1, 1));
  return reader;
}

Status BlockReader::load_window(std::uint64_t first, std::uint64_t count) {
  const std::uint64_t total = block_count(payload_bytes_);
  WEIR_ASSERT(first < total);
  count = std::min({count, blocks_per_read, total - first});
  const std::uint64_t begin = first * block_size_bytes;
  const std::uint64_t end =
      std::min((first + count) * block_size_bytes, block_file_bytes(payload_bytes_));
  window_count_ = 0;  // nothing is verified until all of it is
  // The size that the library hands to the function is no good: libstdc++ 12 passes the new capacity.
  window_.resize_and_overwrite(end - begin, [&](char*, std::size_t) { return end - begin; });
  WEIR_ASSERT(window_.size() == end - begin);
  WEIR_TRY_ASSIGN(got, file_->read_at(begin, window_.data(), window_.size()));
  if (got != window_.size()) {
    WEIR_TRY(check_size(path_, begin + got, block_file_bytes(payload_bytes_)));
    return error(Errc::corruption, path_ + ": has changed while it was read");
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto header = expected_header(file_id_, payload_bytes_, first + i);
    const std::string_view block =
        std::string_view(window_).substr(i * block_size_bytes, block_header_bytes + header.length);
    WEIR_TRY(verify_block(block, header, path_, begin + i * block_size_bytes));
  }
  window_first_ = first;
  window_count_ = count;
  return {};
}

Result<std::string> BlockReader::read(std::uint64_t offset, std::uint64_t length) {
  if (offset > payload_bytes_ || length > payload_bytes_ - offset) {
    return error(Errc::corruption, path_ + ": " + std::to_string(length) + " bytes at offset " +
                                       std::to_string(offset) + " lie beyond its " +
                                       std::to_string(payload_bytes_) + " bytes of payload");
  }
  std::string result;
  result.reserve(length);
  while (result.size() < length) {
    const std::uint64_t position = offset + result.size();
    const std::uint64_t number = position / block_payload_bytes;
    if (number < window_first_ || number >= window_first_ + window_count_) {
      const std::uint64_t last = (offset + length - 1) / block_payload_bytes;
      WEIR_TRY(load_window(number, last - number + 1));
    }
    const std::uint64_t within = position % block_payload_bytes;
    const auto header = expected_header(file_id_, payload_bytes_, number);
    const std::uint64_t part =
        std::min<std::uint64_t>(length - result.size(), header.length - within);
    result.append(window_,
                  (number - window_first_) * block_size_bytes + block_header_bytes + within, part);
  }
  return result;
}

Status BlockReader::verify_all() {
  for (std::uint64_t number = 0; number < block_count(payload_bytes_); number += window_count_)
    WEIR_TRY(load_window(number, blocks_per_read));
  return {};
}

std::string encode_document(std::string_view magic, std::uint64_t version, std::uint64_t file_id,
                            std::string_view body) {
  WEIR_ASSERT(magic.size() == magic_bytes);
  std::string bytes;
  bytes.reserve(document_header_bytes + block_file_bytes(body.size()));
  ByteWriter writer(bytes);
  writer.raw(magic);
  writer.number(version);
  writer.number(file_id);
  writer.number(std::uint64_t{body.size()});
  writer.number(std::uint64_t{XXH3_64bits(bytes.data(), bytes.size())});
  for (std::uint64_t number = 0; number < block_count(body.size()); ++number) {
    const auto header = expected_header(file_id, body.size(), number);
    const std::size_t begin = bytes.size();
    bytes.append(block_header_bytes, '\0');
    bytes.append(body.substr(number * block_payload_bytes, header.length));
    seal_block(bytes.data() + begin, header);
  }
  return bytes;
}

Result<std::string> decode_document(std::string_view bytes, const std::string& path,
                                    std::string_view magic, std::uint64_t newest_version,
                                    std::string_view noun) {
  WEIR_ASSERT(magic.size() == magic_bytes);
  if (!bytes.starts_with(magic))
    return error(Errc::corruption, path + ": is no Weir " + std::string(noun) +
                                       ": it does not begin with " + std::string(magic));
  if (bytes.size() < document_header_bytes)
    return error(Errc::corruption, path + ": is truncated: it ends at offset " +
                                       std::to_string(bytes.size()) + ", within its header");
  ByteReader reader(bytes.substr(magic_bytes));
  const auto version = reader.number<std::uint64_t>();
  const auto file_id = reader.number<std::uint64_t>();
  const auto body_bytes = reader.number<std::uint64_t>();
  const auto checksum = reader.number<std::uint64_t>();
  if (XXH3_64bits(bytes.data(), document_header_bytes - checksum_bytes) != checksum)
    return error(Errc::corruption,
                 path + ": header at offset 0 is damaged: its checksum does not match");
  if (version > newest_version || version == 0)
    return error(Errc::unsupported, path + ": was written by a newer version of Weir (format " +
                                        std::to_string(version) + ", this one reads up to " +
                                        std::to_string(newest_version) + "); use that version");
  if (body_bytes > payload_limit_bytes)
    return error(Errc::corruption,
                 path + ": header at offset 0 claims " + std::to_string(body_bytes) + " bytes");
  WEIR_TRY(check_size(path, bytes.size(), document_header_bytes + block_file_bytes(body_bytes)));
  std::string body;
  body.reserve(body_bytes);
  std::size_t offset = document_header_bytes;
  for (std::uint64_t number = 0; number < block_count(body_bytes); ++number) {
    const auto header = expected_header(file_id, body_bytes, number);
    const auto block = bytes.substr(offset, block_header_bytes + header.length);
    WEIR_TRY(verify_block(block, header, path, offset));
    body.append(block.substr(block_header_bytes));
    offset += block.size();
  }
  return body;
}

Status publish_file(CheckpointStorage& storage, const std::string& path, std::string_view bytes) {
  WEIR_TRY_ASSIGN(output, storage.create(path));
  Status done = output->append(bytes);
  if (done) done = output->publish();
  if (done) return {};
  output->discard();
  if (done.error().code == Errc::already_exists) return done;
  // `publish` has removed the file; whoever is told of a failure must be able to rely on that.
  const auto left = storage.open(path);
  if (!left && left.error().code == Errc::not_found) return done;
  return error(Errc::unavailable,
               done.error().what + "; whether " + path + " will exist after a crash is unknown");
}

Result<std::string> read_stored_file(CheckpointStorage& storage, const std::string& path,
                                     std::uint64_t limit_bytes) {
  WEIR_TRY_ASSIGN(file, storage.open(path));
  return read_whole(*file, path, limit_bytes);
}

}  // namespace weir
