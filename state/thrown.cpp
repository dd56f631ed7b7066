#include "state/thrown.hpp"

#include <cstdlib>
#include <cxxabi.h>
#include <exception>
#include <memory>
#include <typeinfo>

namespace weir {
namespace {

std::string name_of(const std::type_info* type) {
  if (type == nullptr) return "something foreign";  // of another language
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(
      abi::__cxa_demangle(type->name(), nullptr, nullptr, &status), std::free);
  return status == 0 ? name.get() : type->name();
}

}  // namespace

std::string thrown_text() {
  const std::string type = name_of(abi::__cxa_current_exception_type());
  try {
    throw;
  } catch (const std::exception& failure) {
    const std::string what = failure.what();
    if (!what.empty()) return ": " + what;
    return " a " + type + " that says nothing; give it a text that says what is wrong";
  } catch (...) {
    return " a value of type " + type +
           ", which says nothing; throw a std::exception whose text says what is wrong";
  }
}

}  // namespace weir
