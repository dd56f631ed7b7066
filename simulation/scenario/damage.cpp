#include "simulation/scenario/damage.hpp"

#include <algorithm>

#include "state/snapshot_io.hpp"

namespace weir {
namespace {

/// What one block of a disk holds.
constexpr std::size_t sector_bytes = 512;

}  // namespace

Result<std::string> file_to_damage(CheckpointStorage& storage, const std::string& directory,
                                   bool metadata) {
  const std::string whole = directory + "/" + std::string(metadata_file_name);
  if (metadata) return whole;
  WEIR_TRY_ASSIGN(snapshot, read_metadata(storage, directory));
  const DataLocation* largest = nullptr;
  for (const DataLocation& location : snapshot.locations)
    if (!location.file.empty() && (largest == nullptr || location.size_bytes > largest->size_bytes))
      largest = &location;
  if (largest == nullptr) return whole;
  return (largest->shared ? shared_directory(directory) : directory) + "/" + largest->file;
}

Result<std::string> damaged(std::string bytes, Damage damage, std::optional<std::uint64_t> at) {
  const std::uint64_t place = at.value_or(bytes.size() / 2);
  if (damage != Damage::extend && place >= bytes.size())
    return error(Errc::invalid_argument, "the file has " + std::to_string(bytes.size()) +
                                             " bytes and none at " + std::to_string(place));
  switch (damage) {
    case Damage::flip_bit:
      bytes[place] = static_cast<char>(bytes[place] ^ 1);
      break;
    case Damage::zero_block: {
      const std::size_t begin = place / sector_bytes * sector_bytes;
      const std::size_t end = std::min(begin + sector_bytes, bytes.size());
      std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(begin),
                bytes.begin() + static_cast<std::ptrdiff_t>(end), '\0');
      break;
    }
    case Damage::truncate:
      bytes.resize(place);
      break;
    case Damage::extend:
      bytes += std::string(sector_bytes, '\0');
      break;
    case Damage::remove:
      WEIR_ASSERT(false);
  }
  return bytes;
}

}  // namespace weir
