# @@one-shot@@

# An image that is here and knows how to uninstall. No registry is asked: it may have gone with its vendor.
function Select-Image {
    $running = Invoke-Docker @('container', 'inspect', '--format', '{{.Image}}', $runtime)
    foreach ($image in @($running.Out, (Get-HealthyImage), (Get-NamedImage))) {
        if ((Test-Image $image) -and
            (Invoke-Docker @('image', 'inspect', '--format', '{{index .Config.Labels "flageemonitor.verbs"}}', $image)).Out -cmatch '\buninstall\b') {
            return $image
        }
    }
    Stop-Script 3 image_unavailable "No image on this host knows how to uninstall $runtime. Nothing was changed." `
        "Run the install script with -Uninstall, or remove by hand: docker rm -f $runtime $runtime-watchtower; then $folder"
}

function Test-Console { -not [Console]::IsInputRedirected -and [Environment]::UserInteractive }

function Stop-NoConsole { Stop-Usage 'Without a console, --yes is needed. Nothing was changed.' }

function Confirm-Removal([bool]$Delete) {
    if (-not (Test-Console)) {
        Stop-NoConsole
    }
    $question = if ($Delete) {
        Get-Text "Remove $runtime from this host, with identity and data? (yes/no)"
    } else {
        Get-Text "Remove $runtime from this host? (yes/no)"
    }
    # PowerShell that was started with -NonInteractive asks nobody, and fails instead.
    try { $said = Read-Host -Prompt $question } catch { Stop-NoConsole }
    if (@('yes', 'y', 'sim', 's') -cnotcontains $said) {
        Stop-Script 1 not_confirmed 'Not confirmed. Nothing was changed.'
    }
}

# The machine's Path as it is written, %SystemRoot% and all: .NET would write it back with everything filled in.
function Remove-PathEntry([string]$Entry) {
    $key = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey('SYSTEM\CurrentControlSet\Control\Session Manager\Environment', $true)
    $path = [string]$key.GetValue('Path', '', [Microsoft.Win32.RegistryValueOptions]::DoNotExpandEnvironmentNames)
    if (@($path.Split(';')) -contains $Entry) {
        $key.SetValue('Path', (@($path.Split(';') | Where-Object { $_ -ne $Entry }) -join ';'), [Microsoft.Win32.RegistryValueKind]::ExpandString)
        # Changes nothing, but tells the programs that run.
        [Environment]::SetEnvironmentVariable('FLAGEEMONITOR_NONE', $null, 'Machine')
    }
    $key.Close()
}

function Invoke-Main([string[]]$Words) {
    if ($Words -ccontains '-h' -or $Words -ccontains '--help') {
        return Get-Usage
    }
    for ($at = 0; $at -lt $Words.Count; $at++) {
        $word = $Words[$at]
        if (@('--output', '--lang') -ccontains $word) {
            $at++
        } elseif (@('--delete-data', '--dry-run', '--yes') -cnotcontains $word -and $word -cnotmatch '\A--(output|lang)=') {
            Stop-Usage "Unknown option: $word"
        }
    }
    if (@('', 'json', 'table') -cnotcontains $output) {
        Stop-Usage "--output needs json or table, not '$output'."
    }
    $dry = $Words -ccontains '--dry-run'
    $delete = $Words -ccontains '--delete-data'
    $more = @($Words | Where-Object { @('--delete-data', '--dry-run') -ccontains $_ })
    if ($output) {
        $more += @('--output', $output)
    }
    Assert-Host
    Clear-Name
    $image = Select-Image
    if (-not $dry -and $Words -cnotcontains '--yes') {
        Confirm-Removal $delete
    }
    # A repair that begins now would find everything missing.
    if (-not $dry -and (Get-ScheduledTask -TaskPath '\FlageeMonitor\' -TaskName "$runtime-repair" -ErrorAction SilentlyContinue)) {
        Unregister-ScheduledTask -TaskPath '\FlageeMonitor\' -TaskName "$runtime-repair" -Confirm:$false
    }
    Invoke-Deploy $image $more
    if ($script:ExitCode -eq 0 -and -not $dry) {
        Remove-PathEntry (Join-Path $folder 'bin')
        if ($delete) {
            $null = Invoke-Docker @('volume', 'rm', "$runtime-data")
        }
        # What deploy emptied, but has mounted and so cannot remove.
        try { [System.IO.Directory]::Delete($folder) } catch { $null = $_ }
    }
}
