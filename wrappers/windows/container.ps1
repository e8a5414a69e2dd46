# The container; returns only when it exists.
function Assert-Container([string]$Name) {
    $found = Get-Container $Name
    if ($found.State -eq 'away') {
        Stop-NoEngine
    } elseif ($found.State -ne 'none') {
        return $found
    }
    if ((Get-Container "$runtime-deploy").State -eq 'running') {
        Stop-Script 69 'no_container' @(
            "There is no container $Name now, because an update of $runtime is in progress.",
            "Não há contêiner $Name agora, porque uma atualização de $runtime está em andamento.",
            'Try again in a minute.', "Tente de novo em um minuto."
        )
    }
    $others = ConvertTo-OneLine ((Invoke-Docker @('ps', '-a', '--filter', 'label=flageemonitor.role=runtime', '--format', '{{.Names}}')).Out)
    $first = "$others ".Split(' ')[0]
    $what = if ($first) {
        @(
            "There is no container $Name. Runtimes on this host: $others", "Não há contêiner $Name. Runtimes neste servidor: $others",
            "Use the command of another runtime, for example: $first-run ...", "Use o comando de outro runtime, por exemplo: $first-run ..."
        )
    } else {
        @("There is no container $Name, and no other runtime on this host.", "Não há contêiner $Name, nem outro runtime neste servidor.")
    }
    Stop-Script 69 'no_container' ($what + @(
        "If $folder exists, create it again, as administrator: $runtime-update-image --repair",
        "Se $folder existe, crie-o de novo, como administrador: $runtime-update-image --repair"
    ))
}

# The container; returns only when it runs.
function Assert-Running([string]$Name) {
    $found = Assert-Container $Name
    if ($found.State -eq 'paused') {
        Stop-Script 69 'not_running' @(
            "The container $Name is paused.", "O contêiner $Name está pausado.", "Resume it: docker unpause $Name", "Retome-o: docker unpause $Name"
        )
    } elseif ($found.State -ne 'running') {
        Stop-Script 69 'not_running' @(
            "The container $Name does not run: it is $($found.State).", "O contêiner $Name não está rodando: está $($found.State).",
            "Read why: $runtime-logs", "Leia o motivo: $runtime-logs",
            "Repair it, as administrator: $runtime-update-image --repair", "Repare-o, como administrador: $runtime-update-image --repair"
        )
    }
    return $found
}
