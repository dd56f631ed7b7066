#include "cli/elf_file.hpp"

#include <algorithm>
#include <cstring>
#include <elf.h>
#include <optional>
#include <span>
#include <vector>

#include "api/job_descriptor.hpp"

namespace weir {
namespace {

#if defined(__x86_64__)
constexpr Elf64_Half this_machine = EM_X86_64;
#elif defined(__aarch64__)
constexpr Elf64_Half this_machine = EM_AARCH64;
#endif

/// The structure at `offset`, if it lies within `bytes`.
template <class T>
std::optional<T> read_at(std::string_view bytes, std::uint64_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

/// `count` structures from `offset` on, as many as lie within `bytes`.
template <class T>
std::vector<T> read_array(std::string_view bytes, std::uint64_t offset, std::uint64_t count) {
  std::vector<T> values;
  while (values.size() < count) {
    const auto value = read_at<T>(bytes, offset + values.size() * sizeof(T));
    if (!value) break;
    values.push_back(*value);
  }
  return values;
}

/// Whether the text at `offset` is `wanted`.
bool has_name(std::string_view bytes, std::uint64_t offset, std::string_view wanted) {
  return offset < bytes.size() && bytes.substr(offset, wanted.size()) == wanted &&
         bytes.substr(offset + wanted.size(), 1) == std::string_view("\0", 1);
}

/// The address of the exported object `name`, if there is one.
std::optional<std::uint64_t> find_symbol(std::string_view bytes,
                                         std::span<const Elf64_Shdr> sections,
                                         std::string_view name) {
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type != SHT_DYNSYM || section.sh_link >= sections.size()) continue;
    const Elf64_Shdr& names = sections[section.sh_link];
    const auto symbols =
        read_array<Elf64_Sym>(bytes, section.sh_offset, section.sh_size / sizeof(Elf64_Sym));
    for (const Elf64_Sym& symbol : symbols)
      if (symbol.st_shndx != SHN_UNDEF && has_name(bytes, names.sh_offset + symbol.st_name, name))
        return symbol.st_value;
  }
  return std::nullopt;
}

/// Where the byte that is loaded to `address` lies in the file.
std::optional<std::uint64_t> file_offset(std::span<const Elf64_Phdr> segments,
                                         std::uint64_t address) {
  for (const Elf64_Phdr& segment : segments)
    if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
        address - segment.p_vaddr < segment.p_filesz)
      return segment.p_offset + (address - segment.p_vaddr);
  return std::nullopt;
}

}  // namespace

bool has_job_descriptor(std::string_view bytes) {
  const auto header = read_at<Elf64_Ehdr>(bytes, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return false;
  const auto sections = read_array<Elf64_Shdr>(bytes, header->e_shoff, header->e_shnum);
  return find_symbol(bytes, sections, job_descriptor_symbol).has_value();
}

Status check_job_library(std::string_view bytes, const std::string& path) {
  const auto refuse = [&](const std::string& why) {
    return error(Errc::unsupported, path + ": " + why);
  };
  const auto header = read_at<Elf64_Ehdr>(bytes, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
    return refuse("this is no shared library; build one with `weir compile JOB.cpp -o JOB.so`");
  if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != this_machine)
    return refuse(
        "this library is for another kind of machine; rebuild it here with `weir compile`");

  const auto segments = read_array<Elf64_Phdr>(bytes, header->e_phoff, header->e_phnum);
  const auto sections = read_array<Elf64_Shdr>(bytes, header->e_shoff, header->e_shnum);
  bool whole = segments.size() == header->e_phnum && sections.size() == header->e_shnum;
  bool is_program = header->e_type == ET_EXEC;
  for (const Elf64_Phdr& segment : segments) {
    whole = whole && segment.p_offset <= bytes.size() &&
            segment.p_filesz <= bytes.size() - segment.p_offset;
    is_program = is_program || segment.p_type == PT_INTERP;
  }
  if (is_program)
    return refuse(
        "this is a program, not a shared library; run it by itself, or build the library "
        "with `weir compile JOB.cpp -o JOB.so`");
  if (header->e_type != ET_DYN)
    return refuse("this is no shared library; build one with `weir compile JOB.cpp -o JOB.so`");
  if (!whole) return refuse("the file is cut off; rebuild it with `weir compile`");

  const auto address = find_symbol(bytes, sections, job_descriptor_symbol);
  if (!address)
    return refuse(
        "this library holds no job; register one with WEIR_JOB and rebuild it with "
        "`weir compile`");
  // Of another version it may be shorter; what is not there reads as zeros.
  JobDescriptor descriptor{.magic = {}, .abi_version = 0, .headers = 0, .compiler = {}};
  if (const auto offset = file_offset(segments, *address); offset && *offset < bytes.size())
    std::memcpy(static_cast<void*>(&descriptor), bytes.data() + *offset,
                std::min<std::uint64_t>(sizeof descriptor, bytes.size() - *offset));
  return check_descriptor(descriptor, path);
}

}  // namespace weir
