#!/usr/bin/env python3
"""Checks that sources include the headers of the standard library that they use, and no others.

A source must include a header for each name of std that it uses, or be the source or test of a
header that does. A header of the library that provides nothing which the source uses is unused.

Usage: tests/std_includes.py [SOURCE_DIR]
"""

import re

import layering
import rule

# Header: what it provides of std. Where several headers provide a name, any of them will do.
PROVIDES = {
    "algorithm": """adjacent_find all_of any_of binary_search clamp copy copy_backward copy_if
        copy_n count count_if equal equal_range fill fill_n find find_if find_if_not for_each
        generate includes is_sorted lexicographical_compare lower_bound max max_element merge min
        min_element minmax mismatch none_of nth_element partition ranges remove remove_if replace
        reverse rotate search shuffle sort stable_sort swap_ranges transform unique upper_bound""",
    "array": "array get to_array tuple_size_v",
    "atomic": """atomic atomic_flag atomic_ref atomic_signal_fence atomic_thread_fence memory_order
        memory_order_acq_rel memory_order_acquire memory_order_relaxed memory_order_release
        memory_order_seq_cst""",
    "bit": """bit_cast bit_ceil bit_floor bit_width countl_zero countr_one countr_zero endian
        has_single_bit popcount rotl rotr""",
    "bitset": "bitset",
    "cctype": "isalnum isalpha isdigit isprint isspace isxdigit tolower toupper",
    "cerrno": "",
    "chrono": "chrono chrono_literals",
    "climits": "",
    "cmath": "abs ceil floor fmod isfinite log log2 lround pow round sqrt",
    "compare": "partial_ordering strong_ordering weak_ordering",
    "concepts": """convertible_to derived_from floating_point integral invocable same_as
        signed_integral unsigned_integral""",
    "condition_variable": "condition_variable condition_variable_any cv_status",
    "csignal": "raise sig_atomic_t signal",
    "cstddef": "byte max_align_t nullptr_t ptrdiff_t size_t",
    "cstdint": """int16_t int32_t int64_t int8_t intptr_t uint16_t uint32_t uint64_t uint8_t
        uintptr_t""",
    "cstdio": "fclose fopen fprintf fputs perror printf puts remove rename snprintf",
    "cstdlib": """_Exit abort abs atexit atoi calloc exit free getenv malloc strtol strtoul strtoull
        system""",
    "cstring": """memchr memcmp memcpy memmove memset strcat strchr strcmp strcpy strerror strlen
        strncmp strncpy strrchr strstr""",
    "deque": "begin deque end erase erase_if size",
    "exception": "current_exception exception exception_ptr set_terminate terminate",
    "filesystem": "error_code filesystem",
    "fstream": "fstream hex ifstream ios istream ofstream ostream streamsize streamoff",
    "functional": """bind equal_to function greater hash identity invoke less not_fn plus ref
        reference_wrapper""",
    "future": "async future future_status launch packaged_task promise shared_future",
    "initializer_list": "initializer_list",
    "iomanip": "setfill setw",
    "ios": "hex ios streamoff streamsize",
    "iostream": "cerr cin cout hex ios istream ostream",
    "iterator": """advance back_inserter begin data distance end forward_iterator_tag inserter
        istream_iterator istreambuf_iterator make_move_iterator make_reverse_iterator next
        ostream_iterator prev ranges rbegin rend reverse_iterator size ssize""",
    "limits": "numeric_limits",
    "list": "begin end erase erase_if list size",
    "map": "begin end erase_if map multimap size",
    "memory": """addressof allocator construct_at default_delete destroy_at enable_shared_from_this
        make_shared make_unique make_unique_for_overwrite shared_ptr to_address unique_ptr
        weak_ptr""",
    "mutex": """adopt_lock call_once defer_lock lock_guard mutex once_flag recursive_mutex
        scoped_lock unique_lock""",
    "new": "align_val_t bad_alloc get_new_handler launder nothrow set_new_handler",
    "numeric": "accumulate gcd inner_product iota lcm midpoint partial_sum reduce",
    "optional": "bad_optional_access in_place make_optional nullopt optional",
    "ostream": "endl flush hex ios ostream",
    "queue": "priority_queue queue",
    "random": """bernoulli_distribution discrete_distribution minstd_rand mt19937 mt19937_64
        random_device seed_seq uniform_int_distribution uniform_real_distribution""",
    "ranges": "ranges views",
    "ratio": "micro milli nano ratio",
    "set": "begin end erase_if multiset set size",
    "shared_mutex": "shared_lock shared_mutex",
    "span": "as_bytes as_writable_bytes dynamic_extent span",
    "sstream": "hex ios istringstream ostringstream stringbuf stringstream",
    "stdexcept": "invalid_argument logic_error out_of_range runtime_error",
    "string": """begin char_traits end erase erase_if getline size stoi stol stoll stoul stoull
        string to_string u16string u32string wstring""",
    "string_view": "string_view",
    "system_error": """errc error_category error_code generic_category make_error_code
        system_category system_error""",
    "thread": "jthread stop_token this_thread thread",
    "tuple": "apply forward_as_tuple get ignore make_tuple tie tuple tuple_element_t tuple_size_v",
    "type_traits": """add_const_t bool_constant common_type_t conditional_t decay_t enable_if_t
        false_type has_unique_object_representations_v integral_constant invoke_result_t
        is_aggregate_v is_base_of_v is_convertible_v is_enum_v is_integral_v is_invocable_v
        is_same_v is_signed_v is_standard_layout_v is_trivially_copyable_v
        is_trivially_destructible_v is_unsigned_v is_void_v make_signed_t make_unsigned_t
        remove_const_t remove_cv_t remove_cvref_t remove_pointer_t remove_reference_t true_type
        type_identity_t underlying_type_t void_t""",
    "unordered_map": "begin end erase_if unordered_map unordered_multimap",
    "unordered_set": "begin end erase_if unordered_multiset unordered_set",
    "utility": """as_const cmp_equal cmp_less declval exchange forward get in_place in_place_t
        index_sequence integer_sequence make_index_sequence make_pair move pair piecewise_construct
        swap tuple_size_v to_underlying""",
    "variant": "get get_if holds_alternative in_place_type monostate variant variant_size_v visit",
    "vector": "begin end erase erase_if size vector",
}
# What else shows that a header is used, for names that need no std:: before them.
ALSO_USED_BY = {
    "cctype": r"\b(is(alnum|alpha|cntrl|digit|print|punct|space|upper|lower|xdigit)"
    r"|to(upper|lower))\(",
    "cerrno": r"\b(errno|E[A-Z0-9]{2,})\b",
    "climits": r"\b(PIPE_BUF|[A-Z_]+_(MAX|MIN|BIT))\b",
    "cmath": r"\b(a?sinf?|a?cosf?|sqrt|pow|round|floor|ceil|log2?)\(",
    "compare": r"<=>",
    "csignal": r"\b(SIG\w+|sig\w+|raise|kill|SI_\w+|SEGV_\w+|BUS_\w+|SA_\w+|stack_t)\b",
    "cstddef": r"\b(size_t|ptrdiff_t|offsetof|NULL)\b",
    "cstdint": r"\bu?int(_fast|_least)?(8|16|32|64|ptr|max)_t\b|\bU?INT(8|16|32|64|PTR)_\w+"
    r"|\bSIZE_MAX\b",
    "cstdio": r"\b(\w*printf|\w*scanf|FILE|std(in|out|err)|f(open|close|read|write|puts|flush|seek)"
    r"|fileno|fdopen|getline|perror|puts|putchar|remove|rename(at2?)?|EOF|SEEK_\w+|RENAME_\w+|popen"
    r"|fgets|getc|fgetc|setv?buf|tmpfile)\b",
    "cstdlib": r"\b(_Exit|abort|abs|atexit|ato[il]+|calloc|clearenv|exit|free|getenv|malloc|mkdtemp"
    r"|mko?stemps?|posix_memalign|posix_openpt|grantpt|unlockpt|ptsname(_r)?|putenv|qsort|realloc"
    r"|realpath|secure_getenv|setenv|strto\w+|system|unsetenv|EXIT_\w+|s?rand(om)?|aligned_alloc"
    r"|mkostemp)\b",
    "cstring": r"\b(mem(ccpy|chr|cmp|cpy|mem|move|pcpy|set)|explicit_bzero|basename|str[a-z_]+)\b",
    "iterator": r"\b(begin|end)\(",
    "new": r"\bnew \(",
}
# The same headers under their names in C.
OF_C = {
    "ctype.h": "cctype",
    "errno.h": "cerrno",
    "limits.h": "climits",
    "math.h": "cmath",
    "signal.h": "csignal",
    "stddef.h": "cstddef",
    "stdint.h": "cstdint",
    "stdio.h": "cstdio",
    "stdlib.h": "cstdlib",
    "string.h": "cstring",
}
HEADERS_OF = {}
for _header, _names in PROVIDES.items():
    for _name in _names.split():
        HEADERS_OF.setdefault(_name, set()).add(_header)

NAME = re.compile(r"\bstd::([a-zA-Z_0-9]+)")
NOT_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|^[ \t]*#[ \t]*include[^\n]*',
    re.S | re.M,
)


def code_of(text):
    """Returns a source without comments, string literals and include lines."""
    return NOT_CODE.sub('""', text)


def own_header(root, source):
    """Returns the header that `source` implements or tests, or None."""
    header = re.sub(r"(_test)?\.cc$", ".h", source)
    return header if header != source and (root / header).exists() else None


def std_includes(text):
    """Returns {header: line number} for the headers of the standard library in a source."""
    return {
        path: number
        for number, quoted, path in layering.includes(text)
        if not quoted and (path in PROVIDES or path in OF_C)
    }


def problems_of(root, source, text):
    """Yields (line number, what is wrong) for the includes of one file."""
    code = code_of(text)
    used = sorted(set(NAME.findall(code)))
    included = std_includes(text)
    known = {OF_C.get(path, path) for path in included}
    header = own_header(root, source)
    if header:
        known |= {OF_C.get(path, path) for path in std_includes((root / header).read_text())}
    for name in used:
        if name not in HEADERS_OF:
            yield 1, f"std::{name} is not in the table of this check; add it there"
        elif not HEADERS_OF[name] & known:
            headers = " or ".join(f"<{h}>" for h in sorted(HEADERS_OF[name]))
            yield 1, f"std::{name} is used without {headers}"
    for path, number in included.items():
        provider = OF_C.get(path, path)
        if any(provider in HEADERS_OF.get(name, ()) for name in used):
            continue
        if provider in ALSO_USED_BY and re.search(ALSO_USED_BY[provider], code):
            continue
        yield number, f"<{path}> is included and nothing of it is used"


def check(root):
    """Returns (problems, number of files)."""
    return rule.check_each(root, layering.sources(root), lambda *file: problems_of(root, *file))


if __name__ == "__main__":
    rule.main("std includes", check)
