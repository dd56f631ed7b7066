#include "api/job_descriptor.hpp"

#include <cstring>
#include <string_view>

namespace weir {

Status check_descriptor(const JobDescriptor& descriptor, const std::string& path) {
  const JobDescriptor ours;
  const auto refuse = [&](const std::string& why) {
    return error(Errc::unsupported, path + ": " + why + "; compile it again with `weir compile`");
  };
  if (std::memcmp(descriptor.magic, ours.magic, sizeof ours.magic) != 0)
    return refuse("its job descriptor is damaged");
  if (descriptor.abi_version != ours.abi_version || descriptor.headers != ours.headers)
    return refuse("it was built against another version of Weir");
  const std::string compiler(descriptor.compiler,
                             ::strnlen(descriptor.compiler, sizeof descriptor.compiler));
  if (compiler != ours.compiler)
    return refuse("it was built by another compiler (g++ " + compiler + ", Weir by g++ " +
                  ours.compiler + ")");
  return {};
}

}  // namespace weir
