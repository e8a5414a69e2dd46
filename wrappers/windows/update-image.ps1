# @@one-shot@@

# The image whose deploy is to do the work.
function Select-Image {
    $named = Get-NamedImage
    if (-not (Test-Image $named)) {
        Stop-Script 2 'bad_environment' @(
            "FLAGEEMONITOR_IMAGE in $env_file is not the name of an image: '$named'", "FLAGEEMONITOR_IMAGE em $env_file não é o nome de uma imagem: '$named'"
        )
    }
    if ($verb -ceq 'apply' -or $verb -ceq 'resume') {
        $problem = Get-PullProblem $named
        if ($problem) {
            Stop-Script 1 'image_unavailable' @(
                "The image $named is unavailable: $problem", "A imagem $named não está disponível: $problem",
                "Nothing was changed; the proxy continues. Check that the registry is reachable and that the credentials in $folder\docker\config.json are valid.",
                "Nada foi alterado; o proxy continua. Verifique se o repositório de imagens está acessível e se as credenciais em $folder\docker\config.json são válidas."
            )
        }
        return $named
    }
    # Never the image that may have to be repaired.
    $healthy = Get-HealthyImage
    if ((Test-Image $healthy) -and ((Test-ImageHere $healthy) -or -not (Get-PullProblem $healthy))) {
        return $healthy
    }
    if (-not (Test-ImageHere $named)) {
        $problem = Get-PullProblem $named
        if ($problem) {
            Stop-Script 1 'image_unavailable' @(
                "Neither the last healthy image nor $named is available: $problem", "Nem a última imagem saudável nem $named está disponível: $problem",
                'Nothing was changed. Check that the registry is reachable.', "Nada foi alterado. Verifique se o repositório de imagens está acessível."
            )
        }
    }
    return $named
}

function Invoke-Main([string[]]$Words) {
    if ($Words -ccontains '-h' -or $Words -ccontains '--help') {
        return Get-Usage
    }
    $verb = 'apply'
    $more = @()
    for ($at = 0; $at -lt $Words.Count; $at++) {
        $word = $Words[$at]
        $option, $value = $word -split '=', 2
        if (@('--wait', '--output', '--lang') -ccontains $option -and $null -eq $value) {
            $at++
            if ($at -ge $Words.Count) {
                Stop-Usage "$option needs a value." "$option precisa de um valor."
            }
            $value = $Words[$at]
        }
        if (@('--repair', '--rollback', '--resume', '--status') -ccontains $word) {
            if ($verb -cne 'apply') {
                Stop-Usage "--$verb and $option exclude each other." "--$verb e $option se excluem."
            }
            $verb = $option.Substring(2)
        } elseif ($word -ceq '--force') {
            $more += '--force'
        } elseif ($option -ceq '--wait') {
            if ($value -cnotmatch '\A[0-9]+\z') {
                Stop-Usage "--wait needs a number of seconds, not '$value'." "--wait precisa de um número de segundos, não '$value'."
            }
            $more += @('--wait', $value)
        } elseif ($option -ceq '--output') {
            if (@('json', 'table') -cnotcontains $value) {
                Stop-Usage "--output needs json or table, not '$value'." "--output precisa de json ou table, não '$value'."
            }
            $more += @('--output', $value)
        } elseif ($option -cne '--lang') {
            Stop-Usage "Unknown option: $word" "Opção desconhecida: $word"
        }
    }
    Assert-Host
    if (-not [System.IO.File]::Exists($env_file)) {
        Stop-Script 2 'bad_environment' @(
            "$env_file does not exist: $runtime is not installed here.", "$env_file não existe: $runtime não está instalado aqui.",
            'Install it with the line that flagee-server install-command --windows prints on the control plane.',
            "Instale com a linha que flagee-server install-command --windows mostra no servidor de controle."
        )
    }
    Clear-Name
    Invoke-Deploy (Select-Image) $more
}
