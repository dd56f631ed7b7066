#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "messages/messages.hpp"

/// Values of any described type in which nothing has its default, and what is told by comparing them.
namespace weir::test {

/// `Schema`, which contains itself, ends at this depth.
inline constexpr int max_filled_depth = 3;

template <class T>
constexpr bool is_vector = false;
template <class T>
constexpr bool is_vector<std::vector<T>> = true;
template <class T>
constexpr bool is_map = false;
template <class K, class V>
constexpr bool is_map<std::map<K, V>> = true;
template <class T>
constexpr bool is_pair = false;
template <class A, class B>
constexpr bool is_pair<std::pair<A, B>> = true;
template <class T>
constexpr bool is_optional = false;
template <class T>
constexpr bool is_optional<std::optional<T>> = true;
template <class T>
constexpr bool is_reply = false;
template <class T>
constexpr bool is_reply<Reply<T>> = true;

/// Calls `visit(a.member, b.member, name)` for each described member.
template <class T, class Visit>
void for_each_field(T& a, T& b, const Visit& visit) {
  constexpr auto list = weir_fields(TypeTag<std::remove_const_t<T>>{});
  std::apply(
      [&](const auto&... field) {
        (visit(a.*(field.pointer), b.*(field.pointer), field.name), ...);
      },
      list.fields);
}

/// Gives every member another value than the one it has, which is its default. No two numbers or
/// strings are alike, so that members that change places show.
class Filler {
 public:
  template <class T>
  void fill(T& value, int depth = 0) {
    if constexpr (std::is_same_v<T, bool>) {
      value = !value;
    } else if constexpr (std::is_arithmetic_v<T>) {
      value = static_cast<T>(next_++);
    } else if constexpr (HasEnumerators<T>) {
      constexpr auto list = weir_enumerators(TypeTag<T>{});
      value = std::ranges::find_if(list.enumerators, [&](const auto& one) {
                return one.value != value;
              })->value;
    } else if constexpr (std::is_enum_v<T>) {
      value = static_cast<T>(static_cast<std::underlying_type_t<T>>(value) ^ 1);
    } else if constexpr (std::is_same_v<T, std::string>) {
      value = "text " + std::to_string(next_++);
    } else if constexpr (std::is_same_v<T, SharedBytes>) {
      value = SharedBytes("bytes " + std::to_string(next_++));
    } else if constexpr (is_vector<T>) {
      const bool ends = std::is_same_v<T, std::vector<Schema>> && depth >= max_filled_depth;
      for (int i = 0; i < 2 && !ends; ++i) fill(value.emplace_back(), depth);
    } else if constexpr (is_map<T>) {
      typename T::key_type key{};
      fill(key, depth);
      fill(value[key], depth);
    } else if constexpr (is_pair<T>) {
      fill(value.first, depth);
      fill(value.second, depth);
    } else if constexpr (is_optional<T>) {
      fill(value.emplace(), depth);
    } else {
      static_assert(HasFields<T>, "teach the filler this type");
      for_each_field(value, value, [&](auto& member, auto&, std::string_view) {
        fill(member, depth + (std::is_same_v<T, Schema> ? 1 : 0));
      });
    }
  }

 private:
  std::uint32_t next_ = 1001;
};

/// Whether two values are alike in every described member; `operator==` is not needed.
template <class T>
bool alike(const T& a, const T& b) {
  if constexpr (HasFields<T>) {
    bool same = true;
    for_each_field(a, b, [&](const auto& left, const auto& right, std::string_view) {
      same = same && alike(left, right);
    });
    return same;
  } else if constexpr (is_reply<T>) {
    return alike(a.value, b.value) && (a.value || a.error == b.error);
  } else if constexpr (is_vector<T> || is_map<T>) {
    return std::ranges::equal(a, b, [](const auto& x, const auto& y) { return alike(x, y); });
  } else if constexpr (is_pair<T>) {
    return alike(a.first, b.first) && alike(a.second, b.second);
  } else if constexpr (is_optional<T>) {
    return a.has_value() == b.has_value() && (!a || alike(*a, *b));
  } else {
    return a == b;
  }
}

/// Of how many members a structure is made; 13 if they are more than 12.
template <class T>
consteval std::size_t member_count() {
  // `{}` makes any member, so the longest list that T takes tells; a list too long does not compile.
  if constexpr (requires { T{{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}}; }) return 13;
  if constexpr (requires { T{{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}}; }) return 12;
  if constexpr (requires { T{{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}}; }) return 11;
  if constexpr (requires { T{{}, {}, {}, {}, {}, {}, {}, {}, {}, {}}; }) return 10;
  if constexpr (requires { T{{}, {}, {}, {}, {}, {}, {}, {}, {}}; }) return 9;
  if constexpr (requires { T{{}, {}, {}, {}, {}, {}, {}, {}}; }) return 8;
  if constexpr (requires { T{{}, {}, {}, {}, {}, {}, {}}; }) return 7;
  if constexpr (requires { T{{}, {}, {}, {}, {}, {}}; }) return 6;
  if constexpr (requires { T{{}, {}, {}, {}, {}}; }) return 5;
  if constexpr (requires { T{{}, {}, {}, {}}; }) return 4;
  if constexpr (requires { T{{}, {}, {}}; }) return 3;
  if constexpr (requires { T{{}, {}}; }) return 2;
  if constexpr (requires { T{{}}; }) return 1;
  return 0;
}

/// Names of members, in `value` or below, that have the value of a default-constructed one, and of
/// structures with members that are not described.
template <class T>
void find_gaps(const T& value, const std::string& path, std::vector<std::string>& gaps) {
  if constexpr (HasFields<T>) {
    constexpr auto list = weir_fields(TypeTag<T>{});
    if (member_count<T>() != std::tuple_size_v<decltype(list.fields)>)
      gaps.push_back(path + ": " + std::string(list.type_name) +
                     " has members that are not described");
    const T fresh{};
    for_each_field(value, fresh,
                   [&](const auto& member, const auto& untouched, std::string_view name) {
                     const std::string place = path + "." + std::string(name);
                     if constexpr (std::is_same_v<T, Schema>)
                       return;  // contains itself: it ends in an empty one
                     if (alike(member, untouched)) gaps.push_back(place + " has its default value");
                     find_gaps(member, place, gaps);
                   });
  } else if constexpr (is_vector<T>) {
    for (const auto& one : value) find_gaps(one, path + "[]", gaps);
  } else if constexpr (is_optional<T>) {
    if (value) find_gaps(*value, path, gaps);
  } else if constexpr (is_pair<T>) {
    find_gaps(value.first, path + ".first", gaps);
    find_gaps(value.second, path + ".second", gaps);
  }
}

}  // namespace weir::test
