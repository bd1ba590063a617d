# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of `speculo` for bash.

_speculo_areas() { speculo list 2>/dev/null | tail -n +2 | cut -d ' ' -f 1; }

_speculo_keys() { speculo keys "$1" 2>/dev/null | tail -n +2 | cut -d ' ' -f 1; }

# The options of a subcommand.
_speculo_options() {
    local making='--capacity --max --segments --prefault --mode --lossless'
    local forms='--text --raw --hex --json'
    local following='-f --follow --until-closed --wait -n --for --strict --trust'
    case $1 in
        list | info) echo --count --json --trust ;;
        top) echo --interval -n -b --batch --json --trust ;;
        check) echo --json ;;
        create) echo "$making" ;;
        put) echo --lines --chunk-size --frames --key --ttl --tag "$making" ;;
        rm) echo -f --force ;;
        tail) echo "$following $forms" ;;
        get) echo --wait --trust "$forms" ;;
        keys) echo --json --trust ;;
        watch) echo --interval --wait --json --trust ;;
        record) echo --force "$following" ;;
        replay) echo --speed "$making" ;;
        bench) echo --time --json ;;
        *) echo -V --version ;;
    esac
    echo -h --help
}

_speculo() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local commands='list info top check create put rm tail get keys watch record replay bench'
    local command='' name='' places=0 i
    COMPREPLY=()

    # The subcommand, and how many places are filled in front of this word.
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --capacity | --max | --segments | --prefault | --mode | --chunk-size | --frames | --key | --ttl | --tag | --trust | --interval | --for | --speed | --time | -n)
                ((i++)) ;;
            -?*) ;;
            *)
                if [ -z "$command" ]; then
                    command=${COMP_WORDS[i]}
                else
                    [ "$places" -gt 0 ] || name=${COMP_WORDS[i]}
                    places=$((places + 1))
                fi
                ;;
        esac
    done

    local choices=''
    case $before in
        --trust) choices=$(compgen -u) ;;
        --speed) choices='max 0.5 1 2 10' ;;
        --mode) choices='0600 0640 0644' ;;
        --capacity | --max | --prefault) choices='1MiB 16MiB 64MiB 1GiB' ;;
        --ttl | --for | --interval | --time) choices='100ms 1s 5s 1min' ;;
        --segments | --chunk-size | --frames | --key | --tag | -n) return ;;
        *)
            if [[ $word == -* ]]; then
                choices=$(_speculo_options "$command")
            else
                case $command:$places in
                    :*) choices="$commands help" ;;
                    help:0) choices=$commands ;;
                    list:0) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
                    put:1 | record:1 | replay:0) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
                    replay:1 | *:0 | rm:*) choices=$(_speculo_areas) ;;
                    get:1 | watch:*) choices=$(_speculo_keys "$name") ;;
                esac
            fi
            ;;
    esac
    [ -z "$choices" ] || mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
}

complete -F _speculo speculo
